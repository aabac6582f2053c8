"""Local processes, their ports and their files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from testinfra.host import Host

from raft_testbed.events import read_events
from tests.infra.conftest import require

pytestmark = pytest.mark.infra


@pytest.fixture(scope="module", autouse=True)
def _require_local(deployment: dict[str, Any]) -> None:
    require(deployment, "orchestrator", "local")


@pytest.fixture(scope="module")
def nodes(deployment: dict[str, Any], machine: Host) -> list[dict[str, Any]]:
    raftctl = Path(sys.executable).parent / "raftctl"
    status = machine.check_output("%s cluster status --json --dir %s", str(raftctl), deployment["dir"])
    found: list[dict[str, Any]] = json.loads(status)["nodes"]
    return found


def test_every_node_is_a_running_process(nodes: list[dict[str, Any]], node_names: list[str]) -> None:
    assert [node["id"] for node in nodes] == node_names
    for node in nodes:
        assert psutil.pid_exists(node["pid"])
        assert node["id"] in " ".join(psutil.Process(node["pid"]).cmdline())


def test_every_node_listens_on_loopback_only(nodes: list[dict[str, Any]]) -> None:
    for node in nodes:
        connections = psutil.Process(node["pid"]).net_connections(kind="inet")
        listening = [connection.laddr for connection in connections if connection.status == psutil.CONN_LISTEN]
        # gRPC listens on IPv4-mapped addresses where the machine has IPv6.
        addresses = {f"{address.ip.removeprefix('::ffff:')}:{address.port}" for address in listening}
        assert addresses == {node["endpoint"], node["http"]}
        assert {address.partition(":")[0] for address in addresses} == {"127.0.0.1"}


def test_every_node_has_data_on_disk(nodes: list[dict[str, Any]], machine: Host) -> None:
    for node in nodes:
        data = machine.file(node["data_dir"])
        assert data.is_directory
        assert any(machine.file(f"{node['data_dir']}/{name}").size for name in data.listdir())


def test_the_client_succeeded(deployment: dict[str, Any]) -> None:
    lines = Path(deployment["dir"], "client", "stdout.log").read_text(encoding="utf-8").splitlines()
    events = list(read_events(lines))
    assert events[-1]["event"] == "workload_finished"
    assert events[-1]["exit_status"] == 0
