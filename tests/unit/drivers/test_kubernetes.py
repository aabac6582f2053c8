"""The driver for Kubernetes: what it reads from API objects, and which requests it sends."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raft_testbed.drivers.__main__ import main
from raft_testbed.drivers.deployment import Deployment
from raft_testbed.drivers.kubernetes import KubernetesCluster, failed_state
from raft_testbed.drivers.kubernetes_api import KubernetesApi, KubernetesError, is_rolled_out
from raft_testbed.nemesis.catalogue import CATALOGUE
from tests.unit.drivers.api_server import CONTEXT, ApiServer, running_server

PODS = "/api/v1/namespaces/default/pods"
STATEFUL_SET = "/apis/apps/v1/namespaces/default/statefulsets/raft"
CONTAINER = {
    "name": "raft",
    "image": "registry/raft-server:1",
    "env": [
        {"name": "RAFT_ELECTION_TIMEOUT_MS_MAX", "value": "2000"},
        {"name": "RAFT_LISTEN", "value": "0.0.0.0:6000"},
        {"name": "RAFT_DATA_DIR", "value": "/data/raft"},
    ],
    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
}


def pod(name: str, state: str = "running", reason: str = "") -> dict[str, Any]:
    status = {"containerID": f"containerd://{name}-0123456789", "state": {state: {"reason": reason}}}
    return {
        "metadata": {"name": name},
        "spec": {"nodeName": "worker", "containers": [CONTAINER]},
        "status": {"podIP": f"10.0.0.{name[-1]}", "containerStatuses": [status]},
    }


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with running_server() as found:
        set_pods(found, [pod(f"raft-{number}") for number in range(3)])
        template = {"spec": {"containers": [CONTAINER]}}
        status = {"observedGeneration": 1, "readyReplicas": 3, "currentRevision": "a", "updateRevision": "a"}
        stateful_set = {
            "metadata": {"generation": 1},
            "spec": {"template": template, "replicas": 3},
            "status": status,
        }
        found.bodies[STATEFUL_SET] = json.dumps(stateful_set).encode()
        yield found


def set_pods(server: ApiServer, pods: list[dict[str, Any]]) -> None:
    server.bodies[PODS] = json.dumps({"items": pods}).encode()
    for item in pods:
        server.bodies[f"{PODS}/{item['metadata']['name']}"] = json.dumps(item).encode()


@pytest.fixture
def cluster(server: ApiServer, tmp_path: Path) -> KubernetesCluster:
    """A cluster whose machines are not the testbed's."""
    kubeconfig = str(server.write_kubeconfig(tmp_path / "kubeconfig"))
    deployment = Deployment(
        "kubernetes", str(tmp_path / "state"), kubeconfig=kubeconfig, context=CONTEXT, namespace="default"
    )
    return KubernetesCluster(deployment, "client", unresponsive_seconds=1.0)


def changes(server: ApiServer) -> list[tuple[str, str, Any]]:
    return [request for request in server.requests if request[0] != "GET"]


def run_script(script: str) -> int:
    """Run a script of `driver_script` in this process."""
    arguments = shlex.split(script)
    return main(arguments[arguments.index("raft_testbed.drivers") + 1 :])


def test_the_time_outs_come_from_the_stateful_set(cluster: KubernetesCluster) -> None:
    assert cluster.election_timeout_seconds_max == 2.0
    assert cluster.address("raft-1") == "raft-1.service-raft:6000"


def test_on_a_foreign_cluster_faults_that_enter_machines_are_unavailable(cluster: KubernetesCluster) -> None:
    assert cluster.hosts() == [cluster.control_host]
    available = {name for name, fault in CATALOGUE.items() if not fault.unavailable(cluster)}
    assert available == {"pod-deleted", "transfer", "scale", "image-upgrade"}
    assert "not this testbed's" in CATALOGUE["kill"].unavailable(cluster)


def test_nodes_without_a_status_report_are_unresponsive(cluster: KubernetesCluster) -> None:
    """The Pod that the nodes are asked from may be affected itself; here, exec is refused."""
    view = cluster.view()
    assert [(node.id, node.process, node.state) for node in view.nodes] == [
        (f"raft-{number}", f"raft-{number}-01234", "running") for number in range(3)
    ]
    assert not any(node.responsive for node in view.nodes)


def test_a_pod_is_deleted_only_in_a_restart_back_off(cluster: KubernetesCluster, server: ApiServer) -> None:
    set_pods(server, [pod("raft-0"), pod("raft-1", "waiting", "CrashLoopBackOff")])
    for name in ("raft-0", "raft-1", "raft-2"):
        cluster.ensure_started(name)
    assert changes(server) == [("DELETE", f"{PODS}/raft-1", None)]


def test_scaling_up_waits_until_the_pods_run(cluster: KubernetesCluster, server: ApiServer) -> None:
    server.on_patch = lambda: set_pods(server, [pod(f"raft-{number}") for number in range(5)])
    assert cluster.scaling.add(["raft-3", "raft-4"]) == {
        "raft-3": "raft-3.service-raft:6000",
        "raft-4": "raft-4.service-raft:6000",
    }
    assert changes(server) == [("PATCH", STATEFUL_SET, {"spec": {"replicas": 5}})]


def test_the_removal_of_nodes_deletes_their_volumes(cluster: KubernetesCluster, server: ApiServer) -> None:
    assert run_script(cluster.scaling.remove_script(["raft-3", "raft-4"])) == 0
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    assert changes(server) == [
        ("PATCH", STATEFUL_SET, {"spec": {"replicas": 3}}),
        ("DELETE", f"{claims}/data-raft-3", None),
        ("DELETE", f"{claims}/data-raft-4", None),
    ]


def test_a_roll_out_sets_the_image_and_waits(cluster: KubernetesCluster, server: ApiServer) -> None:
    assert run_script(cluster.images.roll_out_script("registry/raft-server:2")) == 0
    containers = [{"name": "raft", "image": "registry/raft-server:2"}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    assert changes(server) == [("PATCH", STATEFUL_SET, patch)]


def test_a_script_fails_with_the_answer_of_the_api_server(
    cluster: KubernetesCluster, server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    del server.bodies[STATEFUL_SET]
    assert run_script(cluster.images.roll_out_script("registry/raft-server:2")) == 1
    assert "HTTP 404" in capsys.readouterr().err


def test_an_api_server_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    with running_server() as server:
        kubeconfig = server.write_kubeconfig(tmp_path / "kubeconfig")
    api = KubernetesApi(str(kubeconfig), CONTEXT, "default")
    with pytest.raises(KubernetesError):
        api.server_version(seconds_max=5.0)


def test_an_unknown_context_is_an_error(server: ApiServer, tmp_path: Path) -> None:
    kubeconfig = str(server.write_kubeconfig(tmp_path / "kubeconfig"))
    with pytest.raises(KubernetesError, match="context other"):
        KubernetesApi(kubeconfig, "other", "default")


def test_a_log_is_read_since_a_time_of_an_incarnation(cluster: KubernetesCluster, server: ApiServer) -> None:
    server.bodies[f"{PODS}/raft-0/log"] = (
        b'{"ts": "2026-01-01T00:00:00Z", "event": "node_started"}\nplain text\n'
        b'{"ts": "2026-01-01T00:00:10Z", "event": "became_leader"}\n'
    )
    since = 1_767_225_605.0  # five seconds after the first event
    assert [event["event"] for event in cluster.log_events("raft-0", since)] == ["became_leader"] * 2
    paths = [path for _, path, _ in server.requests if path.startswith(f"{PODS}/raft-0/log")]
    assert [("previous=true" in path, "sinceSeconds=" in path) for path in paths] == [(True, True), (False, True)]


def terminated(container_id: str, status: int) -> dict[str, Any]:
    return {"terminated": {"containerID": f"containerd://{container_id}", "exitCode": status}}


@pytest.mark.parametrize(
    ("newest", "state", "last_state", "found"),
    [
        ("target", {"running": {}}, terminated("older", 137), ""),
        ("target", terminated("target", 137), terminated("older", 137), ""),
        ("newer", {"running": {}}, terminated("target", 137), ""),
        ("newer", terminated("newer", 0), terminated("target", 137), ""),
        ("newer", terminated("newer", 2), terminated("target", 137), "state"),
        ("newer", {"waiting": {}}, terminated("newer", 2), "lastState"),
        ("newest", {"running": {}}, terminated("newer", 2), "lastState"),
    ],
)
def test_only_a_failure_after_the_targets_process_counts(
    newest: str, state: dict[str, Any], last_state: dict[str, Any], found: str
) -> None:
    """Found on kind: a node that had been killed before seemed to start with a flipped bit."""
    container = {"containerID": f"containerd://{newest}", "state": state, "lastState": last_state}
    assert failed_state(container, "target") == found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"readyReplicas": 2}, False),
        ({"observedGeneration": 6}, False),
        ({"updateRevision": "newer"}, False),
    ],
)
def test_a_roll_out_is_complete_when_all_replicas_are_ready_at_the_newest_revision(
    changes: dict[str, Any], expected: bool
) -> None:
    status = {"observedGeneration": 7, "readyReplicas": 3, "currentRevision": "a", "updateRevision": "a", **changes}
    stateful_set = {"metadata": {"generation": 7}, "spec": {"replicas": 3}, "status": status}
    assert is_rolled_out(stateful_set) is expected
