"""The driver for local processes: what it reads from the cluster's description, and what it lacks."""

import json
from pathlib import Path

import pytest

from raft_testbed.drivers.deployment import Deployment
from raft_testbed.drivers.local import LocalProcesses
from raft_testbed.nemesis.catalogue import CATALOGUE
from raft_testbed.nemesis.cluster import Unavailable

PROXY = {"http": "127.0.0.1:7000"}


def cluster(directory: Path, system: str = "raft_pkg", proxy: dict[str, str] | None = None) -> LocalProcesses:
    (directory / "cluster.json").write_text(json.dumps({"election_timeout_ms_max": 1000, "proxy": proxy}))
    deployment = Deployment("local", str(directory), system, raftctl="/bin/raftctl", dir=str(directory))
    return LocalProcesses(deployment, unresponsive_seconds=1.0)


def test_the_election_time_out_comes_from_the_description(tmp_path: Path) -> None:
    assert cluster(tmp_path).election_timeout_seconds_max == 1.0


def test_scripts_quote_the_directory_of_the_cluster(tmp_path: Path) -> None:
    directory = tmp_path / "a b"
    directory.mkdir()
    assert cluster(directory).start_script("raft-0") == f"/bin/raftctl cluster start raft-0 --dir '{directory}'"


@pytest.mark.parametrize("name", ["partition", "loss"])
def test_faults_of_links_need_the_proxy(tmp_path: Path, name: str) -> None:
    assert CATALOGUE[name].unavailable(cluster(tmp_path, proxy=PROXY)) == ""
    assert "raft_proxy=true" in CATALOGUE[name].unavailable(cluster(tmp_path))
    assert "nodes of another" in CATALOGUE[name].unavailable(cluster(tmp_path, system="another"))


@pytest.mark.parametrize(
    "name", ["pod-deleted", "container-killed", "image-upgrade", "node-stopped", "client-partition"]
)
def test_faults_of_kubernetes_are_unavailable(tmp_path: Path, name: str) -> None:
    assert CATALOGUE[name].unavailable(cluster(tmp_path, proxy=PROXY)) != ""


def test_signals_volumes_and_scaling_are_available(tmp_path: Path) -> None:
    found = cluster(tmp_path)
    assert not any(isinstance(part, Unavailable) for part in (found.signals, found.volumes, found.scaling))


def test_log_events_are_read_since_a_time(tmp_path: Path) -> None:
    (tmp_path / "raft-0").mkdir()
    (tmp_path / "raft-0" / "stdout.log").write_text(
        '{"ts": "2026-01-01T00:00:00Z", "event": "node_started"}\nplain text\n'
        '{"ts": "2026-01-01T00:00:10Z", "event": "became_leader"}\n{"ts": "2026-01-01T00:0'
    )
    since = 1_767_225_605.0  # five seconds after the first event
    assert [event["event"] for event in cluster(tmp_path).log_events("raft-0", since)] == ["became_leader"]
