"""Problems that preflight reports, and the platform that `auto` chooses, for described machines and settings."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.ansible.plugins import load_plugin

preflight = load_plugin("filter", "preflight")
IMAGES = ["kindest/node:v1", "registry:2"]


def machine() -> dict[str, Any]:
    """A machine that has everything that kind needs, and no cluster yet."""
    tool = {"path": "/usr/bin/tool", "version": "1.2.3", "error": None}
    return {
        "tools": {"docker": tool, "kind": tool, "kubectl": tool},
        "raftctl": "/venv/bin/raftctl",
        "python": "/venv/bin/python",
        "engine": {
            "answers": True,
            "error": None,
            "images": list(IMAGES),
            "nodes": [],
            "registry": None,
            "data_dir": "/var/lib/docker",
        },
        "images_can_be_pulled": None,
        "kubeconfig": {"paths": "~/.kube/config", "contexts": {}, "current": None, "error": None},
        "api_server": None,
        "port_is_taken": False,
        "memory_available_bytes": 8 << 30,
        "disk_free_bytes": 50 << 30,
        "engine_disk_free_bytes": 50 << 30,
    }


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "platform": "kind",
        "replicas": 3,
        "workers": 1,
        "recreate": False,
        "kind_cluster": "raft-testbed",
        "context": "kind-raft-testbed",
        "registry": "localhost:5001",
        "registry_container": {"name": "kind-registry", "port": 5001, "image": "registry:2"},
        "images": IMAGES,
        "build_images": [],
        "mutant": "",
        "image": "",
        **changes,
    }


def running_cluster(probe: dict[str, Any]) -> dict[str, Any]:
    node = {
        "name": "raft-testbed-control-plane",
        "state": "running",
        "role": "control-plane",
        "ports": ["127.0.0.1:4711"],
    }
    probe["engine"]["nodes"] = [node]
    probe["kubeconfig"]["contexts"]["kind-raft-testbed"] = "https://127.0.0.1:4711"
    probe["engine"]["registry"] = {"image": "registry:2", "state": "running", "ports": ["127.0.0.1:5001"]}
    probe["port_is_taken"] = True
    return probe


def problems(probe: dict[str, Any], **changes: Any) -> list[dict[str, str]]:
    return preflight.preflight_problems(probe, settings(**changes))


def test_a_complete_machine_has_no_problem() -> None:
    assert problems(machine()) == []


def test_a_running_cluster_and_registry_are_no_problem() -> None:
    probe = running_cluster(machine())
    probe["memory_available_bytes"] = 1 << 20  # the cluster has its memory already
    assert problems(probe) == []


def change_tool(probe: dict[str, Any]) -> None:
    probe["tools"]["kind"] = {"path": None, "version": None, "error": "not on the PATH"}


def change_engine(probe: dict[str, Any]) -> None:
    probe["engine"] |= {"answers": False, "error": "connection refused"}


def change_images(probe: dict[str, Any]) -> None:
    probe["engine"]["images"] = ["registry:2"]
    probe["images_can_be_pulled"] = False


def change_port(probe: dict[str, Any]) -> None:
    probe["port_is_taken"] = True


def change_registry(probe: dict[str, Any]) -> None:
    probe["engine"]["registry"] = {"image": "nginx:1", "state": "running", "ports": []}


def change_memory(probe: dict[str, Any]) -> None:
    probe["memory_available_bytes"] = 500 << 20


def change_disk(probe: dict[str, Any]) -> None:
    probe["engine_disk_free_bytes"] = 1 << 30


def change_kubeconfig(probe: dict[str, Any]) -> None:
    probe["kubeconfig"]["error"] = "/home/someone/.kube/config: not YAML"


def stop_cluster(probe: dict[str, Any]) -> None:
    running_cluster(probe)["engine"]["nodes"][0]["state"] = "exited"


def stop_api_server(probe: dict[str, Any]) -> None:
    running_cluster(probe)["api_server"] = {"answers": False, "version": None, "error": "connection refused"}


@pytest.mark.parametrize(
    ("change", "what", "where"),
    [
        (change_tool, "kind: not on the PATH", "PATH"),
        (change_engine, "engine does not answer: connection refused", "DOCKER_HOST"),
        (change_images, "neither present nor can they be pulled: kindest/node:v1", "engine"),
        (change_port, "port 5001 is in use", "127.0.0.1:5001"),
        (change_registry, "runs nginx:1 instead of registry:2", "container kind-registry"),
        (change_memory, "500 MiB of memory are available", "this machine"),
        (change_disk, "1024 MiB of disk are free", "/var/lib/docker"),
        (change_kubeconfig, "kubeconfig cannot be read", "~/.kube/config"),
        (stop_cluster, "raft-testbed-control-plane is exited", "kind cluster raft-testbed"),
        (stop_api_server, "API server does not answer: connection refused", "context kind-raft-testbed"),
    ],
)
def test_each_problem_has_a_place_and_a_remedy(change: Any, what: str, where: str) -> None:
    probe = machine()
    change(probe)
    (found,) = problems(probe)
    assert what in found["what"]
    assert where in found["where"]
    assert found["do"]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"platform": "cloud"}, "unknown platform 'cloud'"),
        ({"replicas": 4}, "4 replicas: not an odd number"),
        ({"replicas": "many"}, "many replicas"),
        ({"replicas": 9}, "9 replicas"),
        ({"workers": -1}, "-1"),
        ({"workers": "two"}, "'two'"),
    ],
)
def test_invalid_settings_are_reported(changes: dict[str, Any], what: str) -> None:
    (found,) = problems(machine(), **changes)
    assert what in found["what"]


def test_all_problems_are_reported_together() -> None:
    probe = machine()
    change_tool(probe)
    change_port(probe)
    assert len(problems(probe, replicas=2)) == 3


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"platform": "existing", "context": "kind-raft-testbed", "registry": "r/x"},
            "may not run on an existing cluster",
        ),
        ({"image": "r/other:1"}, "is of raft_pkg, not of r/other:1"),
    ],
)
def test_a_mutant_is_deployed_only_with_our_server_on_our_cluster(changes: dict[str, Any], complaint: str) -> None:
    assert [p for p in problems(running_cluster(machine()), mutant="vote_twice", **changes) if complaint in p["what"]]
    assert not [p for p in problems(running_cluster(machine()), **changes) if "raft_mutant" in p["where"]]


@pytest.mark.parametrize("replicas", [1, 3, 5, 7, "5"])
def test_every_odd_number_up_to_seven_is_allowed(replicas: Any) -> None:
    assert problems(machine(), replicas=replicas) == []


def test_existing_needs_a_known_context_and_a_registry() -> None:
    probe = machine()
    probe["kubeconfig"]["contexts"] = {"lab": "https://10.0.0.1:6443"}
    assert problems(probe, platform="existing", context="lab", registry="registry.example/raft") == []
    texts = [item["what"] + item["do"] for item in problems(probe, platform="existing", context="prod", registry="")]
    assert any("no context 'prod'" in text and "lab" in text for text in texts)
    assert any("no registry is set" in text for text in texts)


def test_existing_reports_an_unreachable_api_server() -> None:
    probe = machine()
    probe["kubeconfig"]["contexts"] = {"lab": "https://10.0.0.1:6443"}
    probe["api_server"] = {"answers": False, "version": None, "error": "no route to host"}
    (found,) = problems(probe, platform="existing", context="lab")
    assert "no route to host" in found["what"]
    assert "https://10.0.0.1:6443" in found["where"]


def test_local_needs_raftctl_only() -> None:
    probe = machine()
    change_engine(probe)
    change_tool(probe)
    assert problems(probe, platform="local") == []
    probe["raftctl"] = None
    assert "raftctl" in problems(probe, platform="local")[0]["what"]


def test_auto_chooses_kind_where_it_can_run() -> None:
    assert preflight.choose_platform(machine(), "auto", IMAGES)["platform"] == "kind"


@pytest.mark.parametrize("change", [change_tool, change_engine, change_images])
def test_auto_chooses_local_and_reports_what_is_missing(change: Any) -> None:
    probe = copy.deepcopy(machine())
    change(probe)
    choice = preflight.choose_platform(probe, "auto", IMAGES)
    assert choice["platform"] == "local"
    assert len(choice["missing"]) == 1


def test_a_requested_platform_is_never_replaced() -> None:
    probe = machine()
    change_engine(probe)
    assert preflight.choose_platform(probe, "kind", IMAGES)["platform"] == "kind"


def test_a_context_with_an_old_port_is_not_current() -> None:
    probe = running_cluster(machine())
    assert preflight.kubeconfig_is_current(probe, "kind-raft-testbed")
    probe["kubeconfig"]["contexts"]["kind-raft-testbed"] = "https://127.0.0.1:1"
    assert not preflight.kubeconfig_is_current(probe, "kind-raft-testbed")
