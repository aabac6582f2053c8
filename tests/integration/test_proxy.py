"""A local cluster whose nodes communicate through `raftctl proxy`, and nodes added to it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from tests.integration.clusters import COMMAND_TIMEOUT_SECONDS, Cluster, run_raftctl


def eventually(look: Callable[[], dict[str, Any]], reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Poll until the condition holds; return the value."""
    deadline = time.monotonic() + COMMAND_TIMEOUT_SECONDS
    while not reached(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    return seen


def status(cluster: Cluster) -> dict[str, Any]:
    """Return the status, even without a leader."""
    return json.loads(run_raftctl("cluster", "status", "--dir", str(cluster.directory), "--json").stdout)


def proxy(cluster: dict[str, Any], *arguments: str) -> dict[str, Any]:
    done = run_raftctl("proxy", *arguments, "--control", cluster["proxy"], "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def dropped(seen: dict[str, Any]) -> int:
    return sum(link.get("dropped", 0) for link in seen["links"])


def test_a_leader_that_the_proxy_cuts_off_is_replaced_and_follows_afterwards(
    new_cluster: Cluster,
) -> None:
    before = new_cluster.up("--proxy")
    leader = before["leader"]
    proxy(before, "set", "cut", f"{leader}>*", f"*>{leader}", "--drop", "1", "--seconds", "3600")
    after = eventually(lambda: status(new_cluster), lambda seen: seen["leader"] not in (None, leader))
    assert after["term"] > before["term"]
    assert dropped(proxy(before, "status")) > 0
    assert proxy(before, "clear", "cut")["cleared"] == ["cut"]
    eventually(
        lambda: status(new_cluster),
        lambda seen: [node["role"] for node in seen["nodes"]].count("follower") == 2,
    )


def test_a_rule_expires(new_cluster: Cluster) -> None:
    cluster = new_cluster.up("--proxy")
    assert proxy(cluster, "set", "slow", "*>*", "--delay-ms-min", "1", "--seconds", "0.2")["rules"]
    eventually(lambda: proxy(cluster, "status"), lambda seen: not seen["rules"])


def test_an_added_node_can_become_a_member_and_be_discarded_after_its_removal(new_cluster: Cluster) -> None:
    endpoints = new_cluster.up("--proxy")["endpoints"]
    new_cluster.control("add", "raft-3")
    (added,) = [node for node in status(new_cluster)["nodes"] if node["id"] == "raft-3"]
    done = run_raftctl("members", "add", "raft-3", added["endpoint"], "--promote", "--endpoints", endpoints)
    assert done.returncode == 0, done.stderr
    done = run_raftctl("members", "remove", "raft-3", "--endpoints", endpoints)
    assert done.returncode == 0, done.stderr
    assert new_cluster.control("discard", "raft-3")["nodes"] == ["raft-3"]
    assert "initial nodes can't be discarded" in new_cluster.refused("discard", "raft-0")
    assert len(status(new_cluster)["nodes"]) == 3


def test_the_proxy_stops_with_the_cluster(new_cluster: Cluster) -> None:
    cluster = new_cluster.up("--proxy")
    new_cluster.control("down")
    done = run_raftctl("proxy", "status", "--control", cluster["proxy"])
    assert done.returncode == 3
    assert "no proxy responds" in done.stderr
