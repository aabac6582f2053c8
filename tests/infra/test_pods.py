"""The Pods, on kind or on an existing cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

from tests.infra.conftest import need

pytestmark = pytest.mark.infra

USER = 10001
GRPC_PORT, HTTP_PORT = 6000, 6080
LISTEN = "0A"


@pytest.fixture(scope="module", autouse=True)
def _on_kubernetes(record: dict[str, Any]) -> None:
    need(record, "orchestrator", "kubernetes")


@pytest.fixture(scope="module")
def pods(record: dict[str, Any], node_names: list[str]) -> dict[str, Host]:
    where = f"context={record['context']}&namespace={record['namespace']}&container=raft"
    return {name: testinfra.get_host(f"kubectl://{name}?{where}") for name in node_names}


def kubectl(record: dict[str, Any], machine: Host, arguments: str) -> Any:
    context = f"kubectl --context {record['context']} --namespace {record['namespace']}"
    return json.loads(machine.check_output(f"{context} {arguments} -o json"))


def listening_ports(host: Host) -> set[int]:
    """From /proc, since the image has no tool that would show them."""
    tables = "".join(host.file(f"/proc/net/{table}").content_string for table in ("tcp", "tcp6"))
    rows = [line.split() for line in tables.splitlines()]
    return {int(row[1].rsplit(":", 1)[1], 16) for row in rows if len(row) > 3 and row[3] == LISTEN}


def test_every_replica_is_there_and_no_more(record: dict[str, Any], machine: Host, node_names: list[str]) -> None:
    found = kubectl(record, machine, "get pods -l app.kubernetes.io/name=raft")["items"]
    assert sorted(pod["metadata"]["name"] for pod in found) == sorted(node_names)
    assert {status["ready"] for pod in found for status in pod["status"]["containerStatuses"]} == {True}


def test_every_replica_has_a_volume_of_its_own(record: dict[str, Any], machine: Host, node_names: list[str]) -> None:
    claims = kubectl(record, machine, "get pvc -l app.kubernetes.io/name=raft")["items"]
    assert len({claim["spec"]["volumeName"] for claim in claims if claim["status"]["phase"] == "Bound"}) == len(
        node_names
    )


def test_the_service_has_no_address_of_its_own_and_lists_nodes_that_are_not_ready(
    record: dict[str, Any], machine: Host
) -> None:
    service = kubectl(record, machine, "get service service-raft")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True


def test_the_node_is_no_root_and_can_become_none(pods: dict[str, Host]) -> None:
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


def test_the_data_is_on_the_volume_and_its_own(pods: dict[str, Host]) -> None:
    for pod in pods.values():
        data = pod.file("/var/lib/raft/data")
        assert data.is_directory
        assert data.uid == USER
        files = pod.check_output("find /var/lib/raft/data -type f").splitlines()
        assert files
        assert {pod.file(name).uid for name in files} == {USER}


def test_the_images_files_cannot_be_written(pods: dict[str, Host]) -> None:
    for pod in pods.values():
        assert "Read-only file system" in pod.run("touch /opt/raft/written").stderr


def test_the_image_has_no_build_tools(pods: dict[str, Host]) -> None:
    pod = next(iter(pods.values()))
    assert [tool for tool in ("pip", "pip3", "gcc", "cc", "make") if pod.exists(tool)] == []
    assert pod.run("/opt/raft/bin/python3 -c 'import pip'").rc == 1


def test_the_client_ended_well(record: dict[str, Any], machine: Host) -> None:
    client = kubectl(record, machine, "get pod client")
    assert client["status"]["phase"] == "Succeeded"
    (container,) = client["status"]["containerStatuses"]
    assert container["state"]["terminated"]["exitCode"] == 0
