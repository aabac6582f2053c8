"""A node that lost its volume: what its former self promised is void, and it earns its vote again."""

import shutil
import time

import pytest

from raft_testbed.events import read_events
from tests.integration.clusters import run_raftctl

PROMOTED_SECONDS_MAX = 30


def events(cluster, node_id, event):
    lines = (cluster.directory / node_id / "stdout.log").read_text().splitlines()
    return [found for found in read_events(lines) if found["event"] == event]


def lose_disk(cluster, node_id):
    cluster.control("kill", node_id)
    shutil.rmtree(cluster.directory / node_id / "data")
    cluster.control("start", node_id)


@pytest.mark.parametrize("victim", ["raft-0", "raft-2"], ids=["the one that began the cluster", "another one"])
def test_a_node_that_lost_its_volume_is_a_learner_and_then_a_voter(new_cluster, victim):
    up = new_cluster.up()
    endpoints = ("--endpoints", up["endpoints"])
    assert run_raftctl("put", "key", "value", *endpoints).returncode == 0
    lose_disk(new_cluster, victim)
    everybody = ["raft-0", "raft-1", "raft-2"]
    deadline = time.monotonic() + PROMOTED_SECONDS_MAX
    while True:
        seen = [(event["voters"], event["learners"]) for event in events(new_cluster, victim, "configuration_changed")]
        if seen[-1] == (everybody, []) and ([n for n in everybody if n != victim], [victim]) in seen:
            break
        assert time.monotonic() < deadline, f"{victim} is no voter again: {seen}"
        time.sleep(0.1)
    first, second = (event["incarnation"] for event in events(new_cluster, victim, "log_recovered"))
    assert first != second
    other = next(name for name in everybody if name != victim)
    new_cluster.control("kill", other)
    assert run_raftctl("get", "key", *endpoints, "--timeout", "20").stdout == "value\n"


def test_a_cluster_that_lost_every_volume_begins_anew_and_remembers_nothing(new_cluster):
    """All are blank, as at the very first start: verify.yml finds out by the data."""
    up = new_cluster.up()
    endpoints = ("--endpoints", up["endpoints"])
    assert run_raftctl("put", "key", "value", *endpoints).returncode == 0
    new_cluster.control("kill", "--all")
    for node in up["nodes"]:
        shutil.rmtree(new_cluster.directory / node["id"] / "data")
    again = new_cluster.up()
    assert again["term"] == 2
    assert run_raftctl("get", "key", *endpoints).returncode == 1


def test_a_node_alone_waits_for_all_of_its_peers_at_the_first_start(new_cluster):
    up = new_cluster.up()
    new_cluster.control("kill", "--all")
    for node in up["nodes"]:
        shutil.rmtree(new_cluster.directory / node["id"] / "data")
    new_cluster.control("start", "raft-0", "raft-1")
    time.sleep(2)  # longer than the election time-out
    assert new_cluster.control("status", status=3)["leader"] is None
    for node_id in ("raft-0", "raft-1"):
        assert events(new_cluster, node_id, "log_recovered")[-1]["voters"] == []
    new_cluster.control("start", "raft-2")
    assert new_cluster.up()["leader"]
