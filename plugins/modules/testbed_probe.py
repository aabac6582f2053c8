"""Ansible module that looks at this machine once, in one process, and changes nothing.

It owns the looking: tools, engine, images, containers, kubeconfig, ports, memory, disk. It judges nothing; that is
for the filters in plugins/filter/preflight.py, which tests can call without a machine to match.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: testbed_probe
short_description: Look at what this machine offers a Raft testbed
description:
  - Reports tools, container engine, images, kind containers, kubeconfig, ports, memory and disk.
  - Changes nothing and fails only when it cannot run at all.
options:
  kubeconfig:
    description: Files to read contexts from, separated like PATH.
    type: str
    required: true
  context:
    description: Kubernetes context whose API server is asked whether it answers; none when empty.
    type: str
    default: ""
  images:
    description: Container images whose presence in the engine is looked up.
    type: list
    elements: str
    default: []
  kind_cluster:
    description: Name of the kind cluster whose containers are listed.
    type: str
    required: true
  registry_container:
    description: Name of the registry's container.
    type: str
    required: true
  image_source_url:
    description: Address that answers when images can be pulled.
    type: str
    required: true
  port:
    description: TCP port on 127.0.0.1 of which to say whether somebody listens there.
    type: int
    required: true
  state_dir:
    description: Directory for the testbed's state, of which the free disk space is reported.
    type: path
    required: true
author: [The raft-testbed authors]
"""

EXAMPLES = r"""
- name: Look at this machine
  testbed_probe:
    kubeconfig: ~/.kube/config
    kind_cluster: raft-testbed
    registry_container: kind-registry
    image_source_url: https://registry-1.docker.io/v2/
    port: 5001
    state_dir: .testbed
"""

RETURN = r"""
probe:
  description: What was found; every member is there on every machine.
  returned: always
  type: dict
"""

ANSWER_SECONDS_MAX = 10
VERSION_COMMANDS = {
    "kind": ["kind", "version"],
    "kubectl": ["kubectl", "version", "--client", "-o", "json"],
    "docker": ["docker", "--version"],
}
KIND_CLUSTER_LABEL = "io.x-k8s.kind.cluster"
KIND_ROLE_LABEL = "io.x-k8s.kind.role"


def probe_tool(command: list[str]) -> dict[str, Any]:
    path = shutil.which(command[0])
    if path is None:
        return {"path": None, "version": None, "error": "not on the PATH"}
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands of tools that were just found
            [path, *command[1:]], capture_output=True, text=True, timeout=ANSWER_SECONDS_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"path": path, "version": None, "error": str(error)}
    version = re.search(r"\d+\.\d+\.\d+", done.stdout)
    error = None if version else f"{' '.join(command)} printed no version: {(done.stdout + done.stderr).strip()[:200]}"
    return {"path": path, "version": version.group() if version else None, "error": error}


def describe_container(container: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": container["Names"][0].lstrip("/"),
        "state": container["State"],
        "image": container["Image"],
        "labels": container["Labels"],
        "ports": [f"{port['IP']}:{port['PublicPort']}" for port in container["Ports"] if "PublicPort" in port],
    }


def probe_engine(images: list[str], kind_cluster: str, registry_container: str) -> dict[str, Any]:
    """What the container engine says, or why it says nothing."""
    engine: dict[str, Any] = {
        "answers": False,
        "error": None,
        "version": None,
        "architecture": None,
        "memory_bytes": None,
        "data_dir": None,
        "images": [],
        "nodes": [],
        "registry": None,
    }
    try:
        import docker  # noqa: PLC0415 - here, since the local platform needs no engine and so no SDK
    except ImportError as error:
        return engine | {"error": f"the Python package docker is missing: {error}"}
    try:
        client = docker.from_env(timeout=ANSWER_SECONDS_MAX)
        info = client.api.info()
        tags = {tag for image in client.api.images() for tag in image["RepoTags"] or []}
        containers = client.api.containers(all=True)
        # the listing shows an id once the name stands for a newer image
        registry_image = next(
            (
                client.api.inspect_container(container["Id"])["Config"]["Image"]
                for container in containers
                if f"/{registry_container}" in container["Names"]
            ),
            None,
        )
    except Exception as error:
        return engine | {"error": f"{type(error).__name__}: {error}"}
    engine["answers"] = True
    engine["version"] = info["ServerVersion"]
    engine["architecture"] = info["Architecture"]
    engine["memory_bytes"] = info["MemTotal"]
    engine["data_dir"] = info["DockerRootDir"]
    engine["images"] = sorted(tags & set(images))
    for container in map(describe_container, containers):
        if container["labels"].get(KIND_CLUSTER_LABEL) == kind_cluster:
            engine["nodes"].append(container | {"role": container["labels"].get(KIND_ROLE_LABEL, "unknown")})
        if container["name"] == registry_container:
            engine["registry"] = container | {"image": registry_image}
    engine["nodes"].sort(key=lambda node: node["name"])
    return engine


def read_kubeconfig(paths: str) -> dict[str, Any]:
    """Contexts with the address of their API server."""
    found: dict[str, Any] = {"paths": paths, "contexts": {}, "current": None, "error": None}
    for path in (Path(part).expanduser() for part in paths.split(os.pathsep)):
        if not path.exists():
            continue
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            servers = {item["name"]: item["cluster"].get("server") for item in document.get("clusters") or []}
            for item in document.get("contexts") or []:
                found["contexts"].setdefault(item["name"], servers.get(item["context"].get("cluster")))
        except (OSError, ValueError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
            found["error"] = f"{path}: {error}"
            continue
        found["current"] = found["current"] or document.get("current-context")
    return found


def probe_api_server(kubeconfig: str, context: str) -> dict[str, Any]:
    """Whether the context's API server answers; asked through kubectl, since credentials come in many kinds."""
    command = ["kubectl", "--kubeconfig", str(Path(kubeconfig).expanduser()), "--context", context]
    if os.pathsep in kubeconfig:
        command = ["kubectl", "--context", context]
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands of tools that were just found
            [*command, "--request-timeout", f"{ANSWER_SECONDS_MAX}s", "get", "--raw", "/version"],
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS_MAX + 5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"answers": False, "version": None, "error": str(error)}
    if done.returncode != 0:
        return {"answers": False, "version": None, "error": done.stderr.strip()}
    return {"answers": True, "version": json.loads(done.stdout)["gitVersion"], "error": None}


def images_can_be_pulled(url: str) -> bool:
    """Whether the place that images come from answers at all; 401 is an answer."""
    try:
        with urllib.request.urlopen(url, timeout=3):  # noqa: S310 - the user's own setting
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


def port_is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def memory_available_bytes() -> int | None:
    """What Linux says is available; None on systems that do not say."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    match = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(encoding="ascii"), re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def disk_free_bytes(path: str | None) -> int | None:
    """Free space where path is, or will be; None where that cannot be seen from here."""
    if path is None:
        return None
    place = Path(path)
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "str", "required": True},
            "context": {"type": "str", "default": ""},
            "images": {"type": "list", "elements": "str", "default": []},
            "kind_cluster": {"type": "str", "required": True},
            "registry_container": {"type": "str", "required": True},
            "image_source_url": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "state_dir": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    asked = module.params
    tools = {name: probe_tool(command) for name, command in VERSION_COMMANDS.items()}
    raftctl = Path(sys.executable).parent / "raftctl"
    engine = probe_engine(asked["images"], asked["kind_cluster"], asked["registry_container"])
    kubeconfig = read_kubeconfig(asked["kubeconfig"])
    api_server = None
    if asked["context"] in kubeconfig["contexts"] and tools["kubectl"]["path"]:
        api_server = probe_api_server(asked["kubeconfig"], asked["context"])
    needs_pull = engine["answers"] and set(engine["images"]) != set(asked["images"])
    module.exit_json(
        changed=False,
        probe={
            "tools": tools,
            "raftctl": str(raftctl) if raftctl.exists() else None,
            "python": sys.executable,
            "engine": engine,
            "images_can_be_pulled": images_can_be_pulled(asked["image_source_url"]) if needs_pull else None,
            "kubeconfig": kubeconfig,
            "api_server": api_server,
            "port_is_taken": port_is_taken(asked["port"]),
            "memory_available_bytes": memory_available_bytes(),
            "disk_free_bytes": disk_free_bytes(asked["state_dir"]),
            "engine_disk_free_bytes": disk_free_bytes(engine["data_dir"]),
        },
    )


if __name__ == "__main__":
    main()
