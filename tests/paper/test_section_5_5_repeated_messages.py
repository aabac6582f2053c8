"""§5.5 and §5.1: RPCs are idempotent; losing, repeating or reordering any of them is safe."""

import pytest

from raft_pkg.core.messages import AppendEntries, RequestVote, RequestVoteReply
from raft_pkg.core.types import Role
from tests.support.cluster import Cluster
from tests.support.core import append, candidate, carry_out, follower, log_of, receive, terms_of


def test_a_repeated_append_is_answered_alike_and_changes_nothing():
    """§5.5: entries that are in the log already are ignored."""
    raft = follower(term=1)
    answers = [append(raft, "b", (0, 0), log_of(1, 1), commit=1) for _ in range(3)]
    assert len(set(answers)) == 1
    assert (terms_of(raft), raft.commit_index) == ([1, 1], 1)


def test_an_old_append_that_arrives_late_takes_nothing_back():
    """§5.5 with Figure 2, AppendEntries receiver 3: the log behind it stays, and so does the commit index."""
    raft = follower(term=1)
    append(raft, "b", (0, 0), log_of(1, 1, 1, 1), commit=4)
    append(raft, "b", (0, 0), log_of(1, 1), commit=1)
    assert (terms_of(raft), raft.commit_index) == ([1, 1, 1, 1], 4)


def test_appends_in_the_wrong_order_are_refused_until_the_gap_is_closed():
    """§5.3: the consistency check keeps logs without gaps, whatever the network does."""
    raft = follower(term=1)
    assert not append(raft, "b", (2, 1), log_of(1, 1, 1)[2:]).success
    assert append(raft, "b", (0, 0), log_of(1, 1)).success
    assert append(raft, "b", (2, 1), log_of(1, 1, 1)[2:]).success
    assert terms_of(raft) == [1, 1, 1]


def test_repeated_votes_elect_nobody_twice():
    """§5.5: nor does a repeated request for a vote give a second one."""
    raft = candidate()
    for _ in range(3):
        receive(raft, "b", RequestVoteReply(vote_granted=True))
    assert [entry.term for entry in carry_out(raft).entries] == [1]
    voter = follower(term=1)
    for _ in range(3):
        receive(voter, "b", RequestVote(0, 0))
    assert [message.body.vote_granted for message in carry_out(voter).messages] == [True] * 3


@pytest.mark.parametrize("seed", range(5))
def test_every_message_delivered_twice_and_in_any_order(seed):
    """§5.5: the outcome is that of a network that does neither."""
    cluster = Cluster("abc", seed=seed)
    cluster.elect("a")
    for number in range(10):
        cluster.propose("a", b"%d" % number)
        cluster.network += cluster.network
        cluster.random.shuffle(cluster.network)
        for _ in range(len(cluster.network) // 2):
            cluster.deliver(cluster.random.randrange(len(cluster.network)))
    cluster.run(0.3)
    assert cluster["a"].role is Role.LEADER
    assert [entry.data for entry in cluster.members["c"].applied[1:]] == [b"%d" % number for number in range(10)]
    assert len({tuple(member.applied) for member in cluster.members.values()}) == 1


def test_a_message_from_before_a_crash_is_harmless_after_it():
    """§5.5: an answer that comes after the one who asked has restarted is passed over."""
    cluster = Cluster("abc")
    cluster.elect("a")
    late = list(cluster.network)
    cluster.network.clear()
    cluster.crash("a")
    cluster.start("a")
    cluster.network += late
    cluster.deliver_all()
    assert cluster["a"].role is Role.FOLLOWER
    assert cluster["b"].log.slice(1, 2) == cluster["a"].log.slice(1, 2)
    cluster.run(2.0)
    assert cluster.leader is not None


def test_an_append_may_bring_what_the_follower_has_and_what_it_has_not():
    """§5.5: an overlap is recognized entry by entry."""
    raft = follower([1, 1, 2], term=3)
    receive(raft, "b", AppendEntries(1, 1, tuple(log_of(1, 1, 3, 3)[1:]), 0, 0))
    assert [entry.index for entry in carry_out(raft).entries] == [3, 4]
    assert terms_of(raft) == [1, 1, 3, 3]
