"""§5.2, leader election: randomized time-outs, split votes, one leader per term."""

from random import Random

import pytest

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.raft import Raft
from raft_pkg.core.types import Role
from tests.support.cluster import Cluster
from tests.support.core import CONFIG, append, follower


@pytest.mark.parametrize("voters", ["a", "abc", "abcd", "abcde", "abcdefg"])
def test_cluster_elects_one_leader_that_all_nodes_follow(voters):
    """§5.2, §9.3."""
    cluster = Cluster(voters)
    cluster.run(3.0)
    assert cluster.leader is not None
    assert {raft.leader for raft in cluster.running} == {cluster.leader.node_id}
    assert {raft.current_term for raft in cluster.running} == {cluster.leader.current_term}


def test_heartbeats_keep_the_leader():
    """§5.2: heartbeats suppress elections, so the term does not change without a fault."""
    cluster = Cluster("abcde")
    cluster.run(2.0)
    term = cluster.leader.current_term
    cluster.run(30.0)
    assert cluster.leader.current_term == term


@pytest.mark.parametrize("seed", range(5))
def test_crashed_leader_is_replaced(seed):
    """§5.2, §9.3: within a few election time-outs."""
    cluster = Cluster("abc", seed=seed)
    cluster.run(3.0)
    old = cluster.leader
    cluster.crash(old.node_id)
    cluster.run(3.0)
    assert cluster.leader is not None
    assert cluster.leader.current_term > old.current_term


def test_each_timeout_is_drawn_from_the_interval():
    """§5.2: "election timeouts are chosen randomly from a fixed interval"."""
    raft = follower(term=1)
    drawn = []
    for turn in range(300):
        append(raft, "b", (0, 0), now=float(turn))
        drawn.append(raft.next_timeout() - turn)
    assert CONFIG.election_timeout_min <= min(drawn) < CONFIG.election_timeout_min + 0.015
    assert CONFIG.election_timeout_max - 0.015 < max(drawn) <= CONFIG.election_timeout_max
    assert len(set(drawn)) > 290


def test_candidate_draws_new_timeout_for_each_election():
    """§5.2: "Each candidate restarts its randomized election timeout at the start of an election"."""
    raft = follower(voters="abcde")
    waits = set()
    now = 0.0
    for _ in range(20):
        waits.add(raft.next_timeout() - now)
        now = raft.next_timeout()
        raft.tick(now)
    assert len(waits) == 20
    assert raft.current_term == 20


def test_nodes_with_different_rngs_draw_different_timeouts():
    """§5.2: equal time-outs would split the votes of each election."""
    waits = {
        Raft("a", Configuration.of(*"abc"), config=CONFIG, random=Random(seed), now=0.0).next_timeout()
        for seed in range(10)
    }
    assert len(waits) == 10


def test_split_vote_is_resolved_by_next_election():
    """§5.2, "split votes": there is no majority and no leader; in the next term one node times out first and wins."""
    cluster = Cluster("abcd")
    for node_id in "ab":  # both campaign before they receive each other's request
        cluster.now = max(cluster.now, cluster[node_id].next_timeout())
        cluster[node_id].tick(cluster.now)
    for node_id in "ab":
        cluster.carry_out(node_id)
    cluster.cut = {("a", "d"), ("b", "c")}
    cluster.network = [m for m in cluster.network if (m.sender, m.recipient) not in cluster.cut]
    cluster.deliver_all()
    assert cluster.leader is None
    assert [cluster[node_id].voted_for for node_id in "abcd"] == ["a", "b", "a", "b"]
    cluster.heal()
    cluster.run(3.0)
    assert cluster.leader is not None
    assert cluster.leader.current_term > 1


@pytest.mark.parametrize("seed", range(10))
def test_simultaneous_timeouts_delay_election_only_briefly(seed):
    """§5.2, §9.3: randomization makes split votes rare, and short when they happen."""
    cluster = Cluster("abcde", seed=seed)
    for raft in cluster.running:  # all are candidates in term 1
        raft.tick(1.0)
    cluster.now = 1.0
    for node_id in "abcde":
        cluster.carry_out(node_id)
    assert all(raft.role is Role.CANDIDATE for raft in cluster.running)
    cluster.run(20 * CONFIG.election_timeout_max)
    assert cluster.leader is not None


def test_no_leader_without_majority():
    """§5.2: a leader is elected again once there is a majority."""
    cluster = Cluster("abcde")
    for node_id in "cde":
        cluster.crash(node_id)
    cluster.run(5.0)
    assert cluster.leader is None
    cluster.start("d")
    cluster.run(5.0)
    assert cluster.leader is not None


def test_partitioned_leader_steps_down_on_newer_term():
    """§5.1, §5.2: two nodes can lead at the same time, but never in one term; the older leader becomes a follower."""
    cluster = Cluster("abcde")
    cluster.elect("a")
    cluster.isolate("a")
    cluster.elect("b")
    assert cluster["a"].role is Role.LEADER
    assert cluster["a"].current_term < cluster["b"].current_term
    cluster.heal()
    cluster.run(0.1)
    assert cluster["a"].role is Role.FOLLOWER
    assert cluster["a"].leader == "b"
