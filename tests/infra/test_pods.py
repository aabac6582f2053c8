"""The Pods, on kind or on an existing cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

from tests.infra.conftest import require

pytestmark = pytest.mark.infra

USER = 10001
GRPC_PORT, HTTP_PORT = 6000, 6080
LISTEN = "0A"


@pytest.fixture(scope="module", autouse=True)
def _require_kubernetes(deployment: dict[str, Any]) -> None:
    require(deployment, "orchestrator", "kubernetes")


@pytest.fixture(scope="module")
def pods(deployment: dict[str, Any], node_names: list[str]) -> dict[str, Host]:
    where = f"context={deployment['context']}&namespace={deployment['namespace']}&container=raft"
    return {name: testinfra.get_host(f"kubectl://{name}?{where}") for name in node_names}


def kubectl(deployment: dict[str, Any], machine: Host, arguments: str) -> Any:
    context = f"kubectl --context {deployment['context']} --namespace {deployment['namespace']}"
    return json.loads(machine.check_output(f"{context} {arguments} -o json"))


def listening_ports(host: Host) -> set[int]:
    """Read the listening ports from /proc: the image has no tool that lists them."""
    tables = "".join(host.file(f"/proc/net/{table}").content_string for table in ("tcp", "tcp6"))
    rows = [line.split() for line in tables.splitlines()]
    return {int(row[1].rsplit(":", 1)[1], 16) for row in rows if len(row) > 3 and row[3] == LISTEN}


def test_exactly_the_replicas_are_ready(deployment: dict[str, Any], machine: Host, node_names: list[str]) -> None:
    found = kubectl(deployment, machine, "get pods -l app.kubernetes.io/name=raft")["items"]
    assert sorted(pod["metadata"]["name"] for pod in found) == sorted(node_names)
    assert {status["ready"] for pod in found for status in pod["status"]["containerStatuses"]} == {True}


def test_every_replica_has_its_own_volume(deployment: dict[str, Any], machine: Host, node_names: list[str]) -> None:
    claims = kubectl(deployment, machine, "get pvc -l app.kubernetes.io/name=raft")["items"]
    assert len({claim["spec"]["volumeName"] for claim in claims if claim["status"]["phase"] == "Bound"}) == len(
        node_names
    )


def test_the_service_is_headless_and_publishes_unready_nodes(deployment: dict[str, Any], machine: Host) -> None:
    service = kubectl(deployment, machine, "get service service-raft")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True


def test_the_node_is_unprivileged(pods: dict[str, Host]) -> None:
    for pod in pods.values():
        status = dict(
            line.split(":", 1) for line in pod.file("/proc/1/status").content_string.splitlines() if ":" in line
        )
        assert status["Uid"].split() == [str(USER)] * 4
        assert status["NoNewPrivs"].strip() == "1"
        assert int(status["CapEff"], 16) == 0


def test_the_node_listens_on_its_two_ports(pods: dict[str, Host]) -> None:
    for pod in pods.values():
        assert listening_ports(pod) == {GRPC_PORT, HTTP_PORT}


def test_the_data_on_the_volume_belong_to_the_node(pods: dict[str, Host]) -> None:
    for pod in pods.values():
        data = pod.file("/var/lib/raft/data")
        assert data.is_directory
        assert data.uid == USER
        files = pod.check_output("find /var/lib/raft/data -type f").splitlines()
        assert files
        assert {pod.file(name).uid for name in files} == {USER}


def test_the_root_file_system_is_read_only(pods: dict[str, Host]) -> None:
    for pod in pods.values():
        assert "Read-only file system" in pod.run("touch /opt/raft/written").stderr


def test_the_image_has_no_build_tools(pods: dict[str, Host]) -> None:
    pod = next(iter(pods.values()))
    assert [tool for tool in ("pip", "pip3", "gcc", "cc", "make") if pod.exists(tool)] == []
    assert pod.run("/opt/raft/bin/python3 -c 'import pip'").rc == 1


def test_the_server_image_has_nothing_of_the_testbed(pods: dict[str, Host]) -> None:
    pod = next(iter(pods.values()))
    assert pod.check_output("find /opt/raft -path '*raft_pkg/__init__.py'")
    assert pod.run("find / -xdev -name 'raft_testbed*'").stdout == ""
    assert pod.run("/opt/raft/bin/python3 -c 'import raft_testbed'").rc == 1
    assert pod.run("/opt/raft/bin/raftctl --version").rc == 0
    # the RECORD of the distribution lists no file that is missing
    code = "from importlib.metadata import files; print([f for f in files('raft_pkg') if not f.locate().exists()])"
    assert pod.check_output(f'/opt/raft/bin/python3 -c "{code}"').strip() == "[]"


def test_the_client_succeeded(deployment: dict[str, Any], machine: Host) -> None:
    client = kubectl(deployment, machine, "get pod client")
    assert client["status"]["phase"] == "Succeeded"
    (container,) = client["status"]["containerStatuses"]
    assert container["state"]["terminated"]["exitCode"] == 0
