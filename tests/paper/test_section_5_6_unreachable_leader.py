"""§5.6: safety does not depend on timing. Whose leader is gone need not wait for a time-out."""

from dataclasses import replace

import pytest

from raft_pkg.core.messages import AppendEntries, PreVote, PreVoteReply
from raft_pkg.core.types import Role
from tests.support.cluster import Cluster
from tests.support.core import CONFIG, carry_out, follower, receive, replies

USUAL = replace(CONFIG, pre_vote=True, check_quorum=True)


def followed(config=USUAL, *, leased=False, **options):
    """A follower that has just heard from its leader, b."""
    raft = follower(term=1, config=config, **options)
    receive(raft, "b", AppendEntries(0, 0, (), 0, 0, leased), term=1, now=10.0)
    carry_out(raft)
    assert raft.leader == "b"
    return raft


def grants_pre_vote(raft, now):
    receive(raft, "c", PreVote(next_term=2, last_log_index=9, last_log_term=1), term=1, now=now)
    (reply,) = replies(carry_out(raft), PreVoteReply)
    return reply.vote_granted


def test_whose_leader_is_gone_asks_for_pre_votes_before_the_least_time_out():
    waits = set()
    for seed in range(20):
        raft = followed(seed=seed)
        raft.peer_unreachable("b", 10.0)
        waits.add(raft.next_timeout() - 10.0)
        raft.tick(raft.next_timeout())
        assert raft.role is Role.PRE_CANDIDATE
        assert raft.current_term == 1, "a term begins when a majority agrees"
    least = USUAL.election_timeout_min
    assert all(0.1 * least <= wait <= 0.75 * least for wait in waits)
    assert len(waits) == 20, "they do not all stand at once"


def test_whose_leader_is_gone_helps_others_to_stand():
    raft = followed()
    assert not grants_pre_vote(raft, 10.01)
    raft.peer_unreachable("b", 10.01)
    assert grants_pre_vote(raft, 10.01)


def test_a_leader_that_comes_back_is_followed_and_protected_again():
    raft = followed()
    raft.peer_unreachable("b", 10.0)
    receive(raft, "b", AppendEntries(0, 0, (), 0, 0), term=1, now=10.001)
    assert raft.next_timeout() >= 10.001 + USUAL.election_timeout_min
    assert not grants_pre_vote(raft, 10.002)


def test_an_election_is_never_put_off():
    raft = followed()
    before = raft.next_timeout()
    raft.peer_unreachable("b", before - 0.001)
    assert raft.next_timeout() == before


def test_the_end_of_others_says_nothing():
    raft = followed()
    before = raft.next_timeout()
    raft.peer_unreachable("c", 10.0)
    assert raft.next_timeout() == before
    assert not grants_pre_vote(raft, 10.0)


@pytest.mark.parametrize(
    ("config", "leased"),
    [(USUAL, True), (replace(USUAL, pre_vote=False), False)],
    ids=["a lease may hold", "nobody is asked before an election"],
)
def test_where_more_depends_on_it_the_time_out_is_waited_for(config, leased):
    """Dissertation §6.4.1: a leader with a lease answers reads because nobody votes before a time-out.

    It is the leader that knows whether it has one: nodes may be told to, one after the other.
    """
    raft = followed(config, leased=leased)
    before = raft.next_timeout()
    raft.peer_unreachable("b", 10.0)
    assert raft.next_timeout() == before
    assert not grants_pre_vote(raft, 10.0)


@pytest.mark.parametrize("lease_reads", [False, True])
def test_a_leader_says_whether_it_may_have_a_lease(lease_reads):
    cluster = Cluster("abc", config=replace(USUAL, lease_reads=lease_reads))
    cluster.elect("a")
    appends = [message.body for message in cluster.network if isinstance(message.body, AppendEntries)]
    assert appends
    assert {append.leased for append in appends} == {lease_reads}


def test_a_leader_does_not_mind():
    cluster = Cluster("abc", config=USUAL)
    leader = cluster.elect("a")
    cluster.run(1.0)
    before = leader.next_timeout()
    for peer in leader.peers:
        leader.peer_unreachable(peer, cluster.now)
    assert leader.role is Role.LEADER
    assert leader.next_timeout() == before


def test_one_follower_that_is_wrong_about_its_leader_replaces_nobody():
    cluster = Cluster("abc", config=USUAL)
    cluster.elect("a")
    cluster.run(1.0)
    term = cluster["a"].current_term
    cluster["b"].peer_unreachable("a", cluster.now)
    cluster.run(1.0)
    assert cluster.leader is cluster["a"]
    assert cluster["a"].current_term == term


def test_all_whose_leader_is_gone_elect_another_before_a_time_out():
    cluster = Cluster("abc", config=USUAL)
    cluster.elect("a")
    cluster.run(1.0)
    cluster.crash("a")
    for node_id in "bc":
        cluster[node_id].peer_unreachable("a", cluster.now)
    cluster.run(0.75 * USUAL.election_timeout_min)
    assert cluster.leader in (cluster["b"], cluster["c"])


def test_without_protected_leaders_the_time_out_is_waited_for():
    """Else the leader itself would help to replace it."""
    raft = followed(replace(USUAL, check_quorum=False))
    before = raft.next_timeout()
    raft.peer_unreachable("b", 10.0)
    assert raft.next_timeout() == before
