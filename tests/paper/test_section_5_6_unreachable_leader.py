"""§5.6: safety does not depend on timing. Followers of an unreachable leader need not wait for a time-out."""

from dataclasses import replace

import pytest

from raft_pkg.core.messages import AppendEntries, PreVote, PreVoteReply
from raft_pkg.core.types import Role
from tests.support.cluster import Cluster
from tests.support.core import CONFIG, carry_out, follower, receive, replies

USUAL = replace(CONFIG, pre_vote=True, check_quorum=True)


def followed(config=USUAL, *, leased=False, **options):
    """Return a follower that had a recent message from its leader, b."""
    raft = follower(term=1, config=config, **options)
    receive(raft, "b", AppendEntries(0, 0, (), 0, 0, leased), term=1, now=10.0)
    carry_out(raft)
    assert raft.leader == "b"
    return raft


def grants_pre_vote(raft, now):
    receive(raft, "c", PreVote(next_term=2, last_log_index=9, last_log_term=1), term=1, now=now)
    (reply,) = replies(carry_out(raft), PreVoteReply)
    return reply.vote_granted


def test_follower_of_unreachable_leader_starts_pre_vote_early():
    waits = set()
    for seed in range(20):
        raft = followed(seed=seed)
        raft.peer_unreachable("b", 10.0)
        waits.add(raft.next_timeout() - 10.0)
        raft.tick(raft.next_timeout())
        assert raft.role is Role.PRE_CANDIDATE
        assert raft.current_term == 1, "a term begins only when a majority agrees"
    least = USUAL.election_timeout_min
    assert all(0.1 * least <= wait <= 0.75 * least for wait in waits)
    assert len(waits) == 20, "the delays differ"


def test_follower_of_unreachable_leader_grants_pre_votes():
    raft = followed()
    assert not grants_pre_vote(raft, 10.01)
    raft.peer_unreachable("b", 10.01)
    assert grants_pre_vote(raft, 10.01)


def test_leader_that_is_reachable_again_is_followed():
    raft = followed()
    raft.peer_unreachable("b", 10.0)
    receive(raft, "b", AppendEntries(0, 0, (), 0, 0), term=1, now=10.001)
    assert raft.next_timeout() >= 10.001 + USUAL.election_timeout_min
    assert not grants_pre_vote(raft, 10.002)


def test_unreachable_leader_never_delays_an_election():
    raft = followed()
    before = raft.next_timeout()
    raft.peer_unreachable("b", before - 0.001)
    assert raft.next_timeout() == before


def test_other_unreachable_peers_do_not_matter():
    raft = followed()
    before = raft.next_timeout()
    raft.peer_unreachable("c", 10.0)
    assert raft.next_timeout() == before
    assert not grants_pre_vote(raft, 10.0)


@pytest.mark.parametrize(
    ("config", "leased"),
    [(USUAL, True), (replace(USUAL, pre_vote=False), False)],
    ids=["the leader may have a lease", "without pre-vote"],
)
def test_time_out_is_waited_for_if_timing_matters(config, leased):
    """Dissertation §6.4.1: a leader with a lease serves reads because no voter votes before a time-out.

    Only the leader knows whether it has one: nodes are reconfigured one after the other.
    """
    raft = followed(config, leased=leased)
    before = raft.next_timeout()
    raft.peer_unreachable("b", 10.0)
    assert raft.next_timeout() == before
    assert not grants_pre_vote(raft, 10.0)


@pytest.mark.parametrize("lease_reads", [False, True])
def test_leader_announces_whether_it_uses_leases(lease_reads):
    cluster = Cluster("abc", config=replace(USUAL, lease_reads=lease_reads))
    cluster.elect("a")
    appends = [message.body for message in cluster.network if isinstance(message.body, AppendEntries)]
    assert appends
    assert {append.leased for append in appends} == {lease_reads}


def test_leader_ignores_unreachable_peers():
    cluster = Cluster("abc", config=USUAL)
    leader = cluster.elect("a")
    cluster.run(1.0)
    before = leader.next_timeout()
    for peer in leader.peers:
        leader.peer_unreachable(peer, cluster.now)
    assert leader.role is Role.LEADER
    assert leader.next_timeout() == before


def test_one_follower_alone_does_not_replace_the_leader():
    cluster = Cluster("abc", config=USUAL)
    cluster.elect("a")
    cluster.run(1.0)
    term = cluster["a"].current_term
    cluster["b"].peer_unreachable("a", cluster.now)
    cluster.run(1.0)
    assert cluster.leader is cluster["a"]
    assert cluster["a"].current_term == term


def test_followers_of_unreachable_leader_elect_another_early():
    cluster = Cluster("abc", config=USUAL)
    cluster.elect("a")
    cluster.run(1.0)
    cluster.crash("a")
    for node_id in "bc":
        cluster[node_id].peer_unreachable("a", cluster.now)
    cluster.run(0.75 * USUAL.election_timeout_min)
    assert cluster.leader in (cluster["b"], cluster["c"])


def test_without_check_quorum_the_time_out_is_waited_for():
    """Otherwise the leader itself would help to replace it."""
    raft = followed(replace(USUAL, check_quorum=False))
    before = raft.next_timeout()
    raft.peer_unreachable("b", 10.0)
    assert raft.next_timeout() == before
