"""A node that lost its volume: votes of its previous incarnation do not count, and it has to become a voter again."""

import shutil
import time

import pytest

from raft_testbed.events import read_events
from tests.integration.clusters import run_raftctl

WAIT_SECONDS_MAX = 30.0


def events(cluster, node_id, event):
    lines = (cluster.directory / node_id / "stdout.log").read_text().splitlines()
    return [found for found in read_events(lines) if found["event"] == event]


def wait_until(condition, failure):
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, f"{failure} within {WAIT_SECONDS_MAX} s"
        time.sleep(0.1)


def lose_disk(cluster, node_id):
    cluster.control("kill", node_id)
    shutil.rmtree(cluster.directory / node_id / "data")
    cluster.control("start", node_id)


@pytest.mark.parametrize("victim", ["raft-0", "raft-2"], ids=["the node that bootstrapped the cluster", "another node"])
def test_a_node_that_lost_its_volume_becomes_a_learner_and_then_a_voter(new_cluster, victim):
    up = new_cluster.up()
    endpoints = ("--endpoints", up["endpoints"])
    assert run_raftctl("put", "key", "value", *endpoints).returncode == 0
    lose_disk(new_cluster, victim)
    all_nodes = ["raft-0", "raft-1", "raft-2"]
    without_victim = [node_id for node_id in all_nodes if node_id != victim]

    def is_voter_again():
        changes = events(new_cluster, victim, "configuration_changed")
        configurations = [(change["voters"], change["learners"]) for change in changes]
        return configurations[-1] == (all_nodes, []) and (without_victim, [victim]) in configurations

    wait_until(is_voter_again, f"{victim} does not become a voter again")
    first, second = (event["incarnation"] for event in events(new_cluster, victim, "log_recovered"))
    assert first != second
    new_cluster.control("kill", without_victim[0])
    assert run_raftctl("get", "key", *endpoints, "--timeout", "20").stdout == "value\n"


def test_a_cluster_that_lost_every_volume_is_bootstrapped_again_and_is_empty(new_cluster):
    """All nodes are uninitialized, as at the first start. verify.yml detects the loss by the missing data."""
    up = new_cluster.up()
    endpoints = ("--endpoints", up["endpoints"])
    assert run_raftctl("put", "key", "value", *endpoints).returncode == 0
    new_cluster.control("kill", "--all")
    for node in up["nodes"]:
        shutil.rmtree(new_cluster.directory / node["id"] / "data")
    again = new_cluster.up()
    assert again["term"] == 2
    assert run_raftctl("get", "key", *endpoints).returncode == 1


def test_a_new_cluster_is_bootstrapped_only_when_all_peers_have_started(new_cluster):
    up = new_cluster.up()
    new_cluster.control("kill", "--all")
    for node in up["nodes"]:
        shutil.rmtree(new_cluster.directory / node["id"] / "data")
        (new_cluster.directory / node["id"] / "stdout.log").unlink()
    early = ("raft-0", "raft-1")
    new_cluster.control("start", *early)
    wait_until(lambda: all(events(new_cluster, node_id, "peer_connected") for node_id in early), "they do not connect")
    assert new_cluster.control("status", status=3)["leader"] is None
    for node_id in early:
        assert events(new_cluster, node_id, "log_recovered")[-1]["voters"] == []
    new_cluster.control("start", "raft-2")
    assert new_cluster.up()["leader"]
    (last,) = events(new_cluster, "raft-2", "node_started")
    for node_id in early:
        assert events(new_cluster, node_id, "configuration_changed")[0]["ts"] > last["ts"]
