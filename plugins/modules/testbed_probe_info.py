"""Ansible module `testbed_probe_info`: the facts of this machine that the choice of a platform depends on.

It only collects. The filters in plugins/filter/preflight.py judge the facts, and can be tested on any machine.
"""

from __future__ import annotations

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

import yaml  # type: ignore[import-untyped] # the package has no types
from ansible.module_utils.basic import AnsibleModule

from raft_testbed.nemesis.errors import CommandError

DOCUMENTATION = r"""
module: testbed_probe_info
short_description: Return what this machine offers a Raft testbed
description:
  - Returns the tools, container engine, images, kind containers, kubeconfig, ports, memory and disk space of this
    machine.
  - A part that can't be read has its error in the result; the module itself does not fail.
options:
  kubeconfig:
    description: Kubeconfig files, separated like E(PATH).
    type: str
    required: true
  context:
    description: Kubernetes context whose API server is queried; empty for none.
    type: str
    default: ""
  images:
    description: Container images to look up in the engine.
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
    description: URL that answers if images can be pulled.
    type: str
    required: true
  port:
    description: TCP port of 127.0.0.1 to check for a listener.
    type: int
    required: true
  state_dir:
    description: Directory of the testbed's state, whose free disk space is returned.
    type: path
    required: true
author: [The raft-testbed authors]
"""

EXAMPLES = r"""
- name: Probe this machine
  testbed_probe_info:
    kubeconfig: ~/.kube/config
    kind_cluster: raft-testbed
    registry_container: kind-registry
    image_source_url: https://registry-1.docker.io/v2/
    port: 5001
    state_dir: .testbed
"""

RETURN = r"""
probe:
  description: The facts of this machine. Every member exists on every machine.
  returned: always
  type: dict
  contains:
    tools:
      description: The tools C(kind), C(kubectl) and C(docker), each with C(path), C(version) and C(error).
      type: dict
    raftctl:
      description: Path of raftctl beside this Python; null if it is not installed.
      type: str
    python:
      description: Path of this Python.
      type: str
    engine:
      description:
        - The container engine. C(answers) is whether it can be used, C(error) why not.
        - C(images) are the present images of O(images), C(nodes) the containers of the kind cluster, C(registry) the
          container of the registry.
      type: dict
    images_can_be_pulled:
      description: Whether O(image_source_url) answers; null if no image is missing.
      type: bool
    kubeconfig:
      description: The contexts of O(kubeconfig) with the URLs of their API servers, and the current context.
      type: dict
    api_server:
      description: Whether the API server of O(context) answers, its version and the error; null without such a context.
      type: dict
    port_is_taken:
      description: Whether a process listens on O(port).
      type: bool
    memory_available_bytes:
      description: Available memory; null if the system does not report it.
      type: int
    disk_free_bytes:
      description: Free disk space of O(state_dir).
      type: int
    engine_disk_free_bytes:
      description: Free disk space of the engine's data; null if it is not readable from here.
      type: int
"""

REPLY_SECONDS_MAX = 10
VERSION_COMMANDS = {
    "kind": ["kind", "version"],
    "kubectl": ["kubectl", "version", "--client", "-o", "json"],
    "docker": ["docker", "--version"],
}
KIND_CLUSTER_LABEL = "io.x-k8s.kind.cluster"
KIND_ROLE_LABEL = "io.x-k8s.kind.role"


def probe_tool(command: list[str]) -> dict[str, Any]:
    """Return path and version of a tool, or why it has none."""
    path = shutil.which(command[0])
    if path is None:
        return {"path": None, "version": None, "error": "not on the PATH"}
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands
            [path, *command[1:]], capture_output=True, text=True, timeout=REPLY_SECONDS_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"path": path, "version": None, "error": str(error)}
    version = re.search(r"\d+\.\d+\.\d+", done.stdout)
    if version is None:
        output = (done.stdout + done.stderr).strip()[:200]
        return {"path": path, "version": None, "error": f"{' '.join(command)} printed no version: {output}"}
    return {"path": path, "version": version.group(), "error": None}


def describe_container(container: dict[str, Any]) -> dict[str, Any]:
    """Return name, state, image, labels and ports of a container of the engine's listing."""
    return {
        "name": container["Names"][0].lstrip("/"),
        "state": container["State"],
        "image": container["Image"],
        "labels": container["Labels"],
        "ports": [f"{port['IP']}:{port['PublicPort']}" for port in container["Ports"] if "PublicPort" in port],
    }


def probe_engine(images: list[str], kind_cluster: str, registry_container: str) -> dict[str, Any]:
    """Return the facts of the container engine, or why it can't be used."""
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
        import docker  # type: ignore[import-untyped] # noqa: PLC0415 - no types; the local platform needs no engine
    except ImportError as error:
        return engine | {"error": f"the Python package docker is missing: {error}"}
    try:
        client = docker.from_env(timeout=REPLY_SECONDS_MAX)
        info = client.api.info()
        tags = {tag for image in client.api.images() for tag in image["RepoTags"] or []}
        containers = client.api.containers(all=True)
        # the listing has an id instead of the name once the name refers to a newer image
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
    """Return the contexts with the URLs of their API servers."""
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
    """Return the version of a context's API server, or why it does not answer."""
    try:
        from raft_testbed.drivers.kubernetes_api import KubernetesApi  # noqa: PLC0415 - the local platform needs no client

        version = KubernetesApi(kubeconfig, context, namespace="default").server_version(REPLY_SECONDS_MAX)
    except (ImportError, CommandError) as error:
        return {"answers": False, "version": None, "error": str(error)}
    return {"answers": True, "version": version, "error": None}


def images_can_be_pulled(url: str) -> bool:
    """Return whether a registry answers, with any status: 401 is an answer, too."""
    try:
        with urllib.request.urlopen(url, timeout=3):  # noqa: S310 - the user's own setting
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


def port_is_taken(port: int) -> bool:
    """Return whether a process listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def memory_available_bytes() -> int | None:
    """Return the available memory; None on systems that do not report it."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    match = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(encoding="ascii"), re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def disk_free_bytes(path: str | None) -> int | None:
    """Return the free space of a path that may not exist yet; None without a path."""
    if path is None:
        return None
    directory = Path(path)
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    return shutil.disk_usage(directory).free


def main() -> None:
    """Entry point of Ansible."""
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
    parameters = module.params
    tools = {name: probe_tool(command) for name, command in VERSION_COMMANDS.items()}
    raftctl = Path(sys.executable).parent / "raftctl"
    engine = probe_engine(parameters["images"], parameters["kind_cluster"], parameters["registry_container"])
    kubeconfig = read_kubeconfig(parameters["kubeconfig"])
    api_server = None
    if parameters["context"] in kubeconfig["contexts"] and tools["kubectl"]["path"]:
        api_server = probe_api_server(parameters["kubeconfig"], parameters["context"])
    needs_pull = engine["answers"] and set(engine["images"]) != set(parameters["images"])
    module.exit_json(
        changed=False,
        probe={
            "tools": tools,
            "raftctl": str(raftctl) if raftctl.exists() else None,
            "python": sys.executable,
            "engine": engine,
            "images_can_be_pulled": images_can_be_pulled(parameters["image_source_url"]) if needs_pull else None,
            "kubeconfig": kubeconfig,
            "api_server": api_server,
            "port_is_taken": port_is_taken(parameters["port"]),
            "memory_available_bytes": memory_available_bytes(),
            "disk_free_bytes": disk_free_bytes(parameters["state_dir"]),
            "engine_disk_free_bytes": disk_free_bytes(engine["data_dir"]),
        },
    )


if __name__ == "__main__":
    main()
