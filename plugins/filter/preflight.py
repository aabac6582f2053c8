"""Filters that judge what the module testbed_probe found: which platform to take, and what stands in the way.

They only compute: no file, no process, no network, so that a test can show them any machine.
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
# What one of each takes, measured with `docker stats` on an idle cluster and rounded up.
MEMORY_MIB = {
    "kind": {"base": 1200, "worker": 300, "replica": 150},
    "existing": {"base": 0, "worker": 0, "replica": 0},
    "local": {"base": 200, "worker": 0, "replica": 100},
}
DISK_MIB = {"kind": 3000, "existing": 500, "local": 300}

Problem = dict[str, str]


def problem(what: str, where: str, do: str) -> Problem:
    return {"what": what, "where": where, "do": do}


def tool_problems(probe: dict[str, Any], names: tuple[str, ...]) -> list[Problem]:
    found = []
    for name in names:
        tool = probe["tools"][name]
        if tool["error"]:
            found.append(problem(f"{name}: {tool['error']}", tool["path"] or "PATH", GET_TOOL[name]))
    return found


def engine_problems(probe: dict[str, Any], images: list[str]) -> list[Problem]:
    """What keeps the engine from running containers of all these images."""
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
                f"images are neither here nor can they be pulled: {', '.join(missing)}",
                "container engine",
                "connect to the internet, pull or load them, or run `make offline`",
            )
        ]
    return []


def kind_problems(probe: dict[str, Any], images: list[str]) -> list[Problem]:
    """What the platform kind misses on this machine."""
    return tool_problems(probe, ("docker", "kind", "kubectl")) + engine_problems(probe, images)


def choose_platform(probe: dict[str, Any], requested: str, images: list[str]) -> dict[str, Any]:
    """The platform to take, why, and what was missing for more; an unknown request is taken as it is."""
    if requested != "auto":
        return {"platform": requested, "reason": f"testbed_platform={requested}", "missing": []}
    missing = [found["what"] for found in kind_problems(probe, images)]
    if missing:
        return {"platform": "local", "reason": "kind cannot run here", "missing": missing}
    return {"platform": "kind", "reason": "engine, kind, kubectl and images are here", "missing": []}


def setting_problems(settings: dict[str, Any]) -> list[Problem]:
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
                f"{settings['replicas']} replicas: not an odd number up to 7 (an even one tolerates no more failures "
                "than one less)",
                "raft_replicas",
                f"use one of {', '.join(map(str, REPLICAS_ALLOWED))}",
            )
        )
    if not str(settings["workers"]).isdigit():
        found.append(
            problem(f"{settings['workers']!r} is no number of workers", "kind_cluster_workers", "use 0 or more")
        )
    return found + mutant_problems(settings)


def mutant_problems(settings: dict[str, Any]) -> list[Problem]:
    """A node that is broken on purpose is for clusters that this testbed has made itself."""
    mutant = settings["mutant"]
    if mutant and settings["platform"] == "existing":
        return [problem(f"{mutant} is a mutant", "raft_mutant", "use it on kind or local, where nothing relies on the nodes")]
    if mutant and settings["image"]:
        return [problem(f"{mutant} is no mutant of {settings['image']}", "raft_mutant, raft_image", "give one of them")]
    return []


def kubeconfig_problems(probe: dict[str, Any]) -> list[Problem]:
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
    """What is wrong with a kind cluster that is there already."""
    nodes = probe["engine"]["nodes"]
    stopped = [f"{node['name']} is {node['state']}" for node in nodes if node["state"] != "running"]
    if stopped:
        names = " ".join(node["name"] for node in nodes)
        return [
            problem(
                f"the kind cluster is not running: {', '.join(stopped)}",
                f"kind cluster {cluster}",
                f"start it with `docker start {names}`, or make it anew with -e kind_cluster_recreate=true",
            )
        ]
    if nodes and not any(node["role"] == "control-plane" for node in nodes):
        return [
            problem(
                "the kind cluster has no control plane",
                f"kind cluster {cluster}",
                "make it anew with -e kind_cluster_recreate=true",
            )
        ]
    api_server = probe["api_server"]
    if nodes and kubeconfig_is_current(probe, context) and api_server and not api_server["answers"]:
        return [
            problem(
                f"the API server does not answer: {api_server['error']}",
                f"context {context}",
                "see `docker logs` of the control plane, or make it anew with -e kind_cluster_recreate=true",
            )
        ]
    return []


def registry_problems(probe: dict[str, Any], name: str, port: int, image: str) -> list[Problem]:
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
                f"port {port} is taken by something other than the container {name}",
                f"127.0.0.1:{port}",
                "stop what listens there, or set local_registry_port",
            )
        ]
    return []


def space_problems(probe: dict[str, Any], settings: dict[str, Any]) -> list[Problem]:
    """Memory and disk for what is still to be started; what runs already has its share."""
    found = []
    size = MEMORY_MIB[settings["platform"]]
    memory = size["base"] + size["worker"] * int(settings["workers"]) + size["replica"] * int(settings["replicas"])
    available = probe["memory_available_bytes"]
    if available is not None and available < memory * MIB:
        found.append(
            problem(
                f"{available // MIB} MiB of memory are available, {memory} MiB are needed",
                "this machine",
                "end other programs, or use fewer raft_replicas and kind_cluster_workers",
            )
        )
    disk = DISK_MIB[settings["platform"]]
    places = {"state directory": probe["disk_free_bytes"]}
    if settings["platform"] == "kind":
        places[f"container engine's {probe['engine']['data_dir']}"] = probe["engine_disk_free_bytes"]
    for place, free in places.items():
        if free is not None and free < disk * MIB:
            found.append(
                problem(f"{free // MIB} MiB of disk are free, {disk} MiB are needed", place, "free some space")
            )
    return found


def existing_problems(probe: dict[str, Any], settings: dict[str, Any]) -> list[Problem]:
    found = tool_problems(probe, ("kubectl",))
    contexts = probe["kubeconfig"]["contexts"]
    context = settings["context"]
    if not context:
        known = ", ".join(sorted(contexts)) or "none"
        found.append(problem("no context is named", "testbed_context", f"name one of the kubeconfig's: {known}"))
    elif context not in contexts:
        known = ", ".join(sorted(contexts)) or "none"
        found.append(
            problem(f"there is no context {context!r}", probe["kubeconfig"]["paths"], f"use one that is there: {known}")
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
            problem(
                "no registry is named", "testbed_registry", "name one that the cluster pulls from, such as HOST/PATH"
            )
        )
    return found + engine_problems(probe, settings["build_images"])


def local_problems(probe: dict[str, Any]) -> list[Problem]:
    if probe["raftctl"]:
        return []
    return [
        problem(
            "raftctl is not installed beside this Python",
            probe["python"],
            "run `make venv` and `. .venv/bin/activate`, or `pip install .` into this environment",
        )
    ]


def preflight_problems(probe: dict[str, Any], settings: dict[str, Any]) -> list[Problem]:
    """Everything that would stop the deployment, all at once."""
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
    return platform == "kind" and bool(probe["engine"]["nodes"])


def kubeconfig_is_current(probe: dict[str, Any], context: str) -> bool:
    """Whether the context leads to the port at which the kind cluster's control plane listens now."""
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
