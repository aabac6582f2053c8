"""Filters over the result of the module testbed_probe_info: which platform to choose, and what would stop a deployment.

They are pure functions, so that a test can describe any machine to them.
"""

from __future__ import annotations

from typing import Any

PLATFORMS = ("auto", "kind", "local", "existing")
REPLICAS_ALLOWED = (1, 3, 5, 7)
MIB = 1024 * 1024
GET_TOOL = {
    "docker": "install Docker (https://docs.docker.com/engine/install), or run `make offline`",
    "kind": "install kind (https://kind.sigs.k8s.io/docs/user/quick-start), or run `make offline`",
    "kubectl": "install kubectl (https://kubernetes.io/docs/tasks/tools), or run `make offline`",
}
# Memory of one of each, measured with `docker stats` on an idle cluster and rounded up.
MEMORY_MIB = {
    "kind": {"base": 1200, "worker": 300, "replica": 150},
    "existing": {"base": 0, "worker": 0, "replica": 0},
    "local": {"base": 200, "worker": 0, "replica": 100},
}
DISK_MIB = {"kind": 3000, "existing": 500, "local": 300}

Problem = dict[str, str]


def problem(what: str, where: str, do: str) -> Problem:
    """Return a problem: what is wrong, where, and what to do about it."""
    return {"what": what, "where": where, "do": do}


def tool_problems(probe: dict[str, Any], names: tuple[str, ...]) -> list[Problem]:
    """Return a problem for each of these programs that is missing or does not run."""
    found = []
    for name in names:
        tool = probe["tools"][name]
        if tool["error"]:
            found.append(problem(f"{name}: {tool['error']}", tool["path"] or "PATH", GET_TOOL[name]))
    return found


def engine_problems(probe: dict[str, Any], images: list[str]) -> list[Problem]:
    """Return what keeps the container engine from running containers of these images."""
    engine = probe["engine"]
    if not engine["answers"]:
        return [
            problem(
                f"the container engine does not answer: {engine['error']}",
                "DOCKER_HOST, or /var/run/docker.sock where that is not set",
                "start it, allow this user to use it, or run `make offline`",
            )
        ]
    missing = [image for image in images if image not in engine["images"]]
    if missing and not probe["images_can_be_pulled"]:
        return [
            problem(
                f"images are neither present nor can they be pulled: {', '.join(missing)}",
                "container engine",
                "connect to the internet, pull or load them, or run `make offline`",
            )
        ]
    return []


def kind_problems(probe: dict[str, Any], images: list[str]) -> list[Problem]:
    """Return what the platform kind lacks on this machine."""
    return tool_problems(probe, ("docker", "kind", "kubectl")) + engine_problems(probe, images)


def choose_platform(probe: dict[str, Any], requested: str, images: list[str]) -> dict[str, Any]:
    """Return `platform`, the `reason` for it, and what is `missing` for kind.

    Only `auto` chooses; any other request is returned as it is, and `preflight_problems` rejects an unknown one.
    """
    if requested != "auto":
        return {"platform": requested, "reason": f"testbed_platform={requested}", "missing": []}
    missing = [found["what"] for found in kind_problems(probe, images)]
    if missing:
        return {"platform": "local", "reason": "kind cannot run here", "missing": missing}
    return {"platform": "kind", "reason": "engine, kind, kubectl and images are present", "missing": []}


def setting_problems(settings: dict[str, Any]) -> list[Problem]:
    """Return the settings with invalid values."""
    found = []
    if settings["platform"] not in PLATFORMS:
        found.append(
            problem(
                f"unknown platform {settings['platform']!r}",
                "testbed_platform",
                f"use one of {', '.join(PLATFORMS)}",
            )
        )
    if str(settings["replicas"]) not in map(str, REPLICAS_ALLOWED):
        found.append(
            problem(
                f"{settings['replicas']} replicas: not an odd number up to 7 (an even number tolerates no more "
                "failures than the odd number below it)",
                "raft_replicas",
                f"use one of {', '.join(map(str, REPLICAS_ALLOWED))}",
            )
        )
    if not str(settings["workers"]).isdigit():
        found.append(
            problem(f"{settings['workers']!r} is not a number of workers", "kind_cluster_workers", "use 0 or more")
        )
    return found + mutant_problems(settings)


def mutant_problems(settings: dict[str, Any]) -> list[Problem]:
    """Return why the mutant must not be deployed: it needs raft_pkg, on a cluster that the testbed created itself."""
    mutant = settings["mutant"]
    if mutant and settings["platform"] == "existing":
        return [
            problem(
                f"the mutant {mutant} may not run on an existing cluster", "raft_mutant", "deploy it on kind or local"
            )
        ]
    if mutant and settings["image"]:
        return [
            problem(
                f"the mutant {mutant} is of raft_pkg, not of {settings['image']}",
                "raft_mutant, raft_image, raft_system",
                "set only one of them",
            )
        ]
    return []


def kubeconfig_problems(probe: dict[str, Any]) -> list[Problem]:
    """Return why the kubeconfig cannot be read."""
    kubeconfig = probe["kubeconfig"]
    if not kubeconfig["error"]:
        return []
    return [
        problem(
            f"the kubeconfig cannot be read: {kubeconfig['error']}",
            kubeconfig["paths"],
            "repair or move the file, or set KUBECONFIG to another one",
        )
    ]


def node_problems(probe: dict[str, Any], cluster: str, context: str) -> list[Problem]:
    """Return what is wrong with an existing kind cluster."""
    nodes = probe["engine"]["nodes"]
    stopped = [f"{node['name']} is {node['state']}" for node in nodes if node["state"] != "running"]
    if stopped:
        names = " ".join(node["name"] for node in nodes)
        return [
            problem(
                f"the kind cluster is not running: {', '.join(stopped)}",
                f"kind cluster {cluster}",
                f"start it with `docker start {names}`, or recreate it with -e kind_cluster_recreate=true",
            )
        ]
    if nodes and not any(node["role"] == "control-plane" for node in nodes):
        return [
            problem(
                "the kind cluster has no control plane",
                f"kind cluster {cluster}",
                "recreate it with -e kind_cluster_recreate=true",
            )
        ]
    api_server = probe["api_server"]
    if nodes and kubeconfig_is_current(probe, context) and api_server and not api_server["answers"]:
        return [
            problem(
                f"the API server does not answer: {api_server['error']}",
                f"context {context}",
                "see `docker logs` of the control plane, or recreate it with -e kind_cluster_recreate=true",
            )
        ]
    return []


def registry_problems(probe: dict[str, Any], name: str, port: int, image: str) -> list[Problem]:
    """Return what keeps the local registry from running in the container `name`, at `port`, from `image`."""
    registry = probe["engine"]["registry"]
    if registry and registry["image"] != image:
        return [
            problem(
                f"a container named {name} runs {registry['image']} instead of {image}",
                f"container {name}",
                f"rename or remove it (`docker rm -f {name}`), or set local_registry_name",
            )
        ]
    ours = registry and registry["state"] == "running" and any(p.endswith(f":{port}") for p in registry["ports"])
    if probe["port_is_taken"] and not ours:
        return [
            problem(
                f"port {port} is in use by something other than the container {name}",
                f"127.0.0.1:{port}",
                "stop the program that listens there, or set local_registry_port",
            )
        ]
    return []


def space_problems(probe: dict[str, Any], settings: dict[str, Any]) -> list[Problem]:
    """Return shortages of memory and disk for what the deployment would start."""
    found = []
    size = MEMORY_MIB[settings["platform"]]
    memory = size["base"] + size["worker"] * int(settings["workers"]) + size["replica"] * int(settings["replicas"])
    available = probe["memory_available_bytes"]
    if available is not None and available < memory * MIB:
        found.append(
            problem(
                f"{available // MIB} MiB of memory are available, {memory} MiB are needed",
                "this machine",
                "stop other programs, or reduce raft_replicas and kind_cluster_workers",
            )
        )
    disk = DISK_MIB[settings["platform"]]
    directories = {"state directory": probe["disk_free_bytes"]}
    if settings["platform"] == "kind":
        directories[f"container engine's {probe['engine']['data_dir']}"] = probe["engine_disk_free_bytes"]
    for directory, free in directories.items():
        if free is not None and free < disk * MIB:
            found.append(
                problem(f"{free // MIB} MiB of disk are free, {disk} MiB are needed", directory, "free some space")
            )
    return found


def existing_problems(probe: dict[str, Any], settings: dict[str, Any]) -> list[Problem]:
    """Return what keeps the deployment from an existing cluster."""
    found = tool_problems(probe, ("kubectl",))
    contexts = probe["kubeconfig"]["contexts"]
    context = settings["context"]
    if not context:
        known = ", ".join(sorted(contexts)) or "none"
        found.append(problem("no context is set", "testbed_context", f"use one of the kubeconfig: {known}"))
    elif context not in contexts:
        known = ", ".join(sorted(contexts)) or "none"
        found.append(
            problem(
                f"there is no context {context!r}", probe["kubeconfig"]["paths"], f"use one of the kubeconfig: {known}"
            )
        )
    elif probe["api_server"] and not probe["api_server"]["answers"]:
        found.append(
            problem(
                f"the API server does not answer: {probe['api_server']['error']}",
                f"context {context} ({contexts[context]})",
                "start the cluster, or correct the kubeconfig",
            )
        )
    if not settings["registry"]:
        found.append(
            problem("no registry is set", "testbed_registry", "use one that the cluster pulls from, such as HOST/PATH")
        )
    return found + engine_problems(probe, settings["build_images"])


def local_problems(probe: dict[str, Any]) -> list[Problem]:
    """Return what keeps the nodes from running as local processes."""
    if probe["raftctl"]:
        return []
    return [
        problem(
            "raftctl is not installed with this Python",
            probe["python"],
            "run `make venv` and `. .venv/bin/activate`, or `pip install .` into this environment",
        )
    ]


def preflight_problems(probe: dict[str, Any], settings: dict[str, Any]) -> list[Problem]:
    """Return everything that would stop the deployment, as a list of `what`, `where` and `do`."""
    wrong_settings = setting_problems(settings)
    found = []
    platform = settings["platform"]
    if platform == "existing":
        found = kubeconfig_problems(probe) + existing_problems(probe, settings)
    elif platform == "local":
        found = local_problems(probe)
    elif platform == "kind":
        found = kind_problems(probe, settings["images"]) + kubeconfig_problems(probe)
        if not settings["recreate"]:
            found += node_problems(probe, settings["kind_cluster"], settings["context"])
        registry = settings["registry_container"]
        found += registry_problems(probe, registry["name"], registry["port"], registry["image"])
    if not wrong_settings and (settings["recreate"] or not already_running(probe, platform)):
        found += space_problems(probe, settings)
    return wrong_settings + found


def already_running(probe: dict[str, Any], platform: str) -> bool:
    """Return whether the memory and disk of the cluster are in use already."""
    return platform == "kind" and bool(probe["engine"]["nodes"])


def kubeconfig_is_current(probe: dict[str, Any], context: str) -> bool:
    """Return whether the context has the current port of the kind cluster's control plane."""
    server = probe["kubeconfig"]["contexts"].get(context) or ""
    ports = [port for node in probe["engine"]["nodes"] if node["role"] == "control-plane" for port in node["ports"]]
    return any(server == f"https://{port}" for port in ports)


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {
            "choose_platform": choose_platform,
            "preflight_problems": preflight_problems,
            "kubeconfig_is_current": kubeconfig_is_current,
        }
