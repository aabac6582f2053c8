"""§5.5 and §5.1: RPCs are idempotent; lost, duplicated and reordered messages are safe."""

import pytest

from raft_pkg.core.messages import AppendEntries, RequestVote, RequestVoteReply
from raft_pkg.core.types import Role
from tests.support.cluster import Cluster
from tests.support.core import append, candidate, carry_out, follower, log_of, receive, terms_of


def test_duplicate_append_gets_the_same_reply():
    """§5.5: entries that are in the log already are ignored."""
    raft = follower(term=1)
    results = [append(raft, "b", (0, 0), log_of(1, 1), commit=1) for _ in range(3)]
    assert len(set(results)) == 1
    assert (terms_of(raft), raft.commit_index) == ([1, 1], 1)


def test_stale_append_changes_nothing():
    """§5.5, and Figure 2, AppendEntries receiver 3: later entries and the commit index stay."""
    raft = follower(term=1)
    append(raft, "b", (0, 0), log_of(1, 1, 1, 1), commit=4)
    append(raft, "b", (0, 0), log_of(1, 1), commit=1)
    assert (terms_of(raft), raft.commit_index) == ([1, 1, 1, 1], 4)


def test_reordered_append_is_rejected_until_the_gap_is_closed():
    """§5.3: the consistency check keeps logs without gaps."""
    raft = follower(term=1)
    assert not append(raft, "b", (2, 1), log_of(1, 1, 1)[2:]).success
    assert append(raft, "b", (0, 0), log_of(1, 1)).success
    assert append(raft, "b", (2, 1), log_of(1, 1, 1)[2:]).success
    assert terms_of(raft) == [1, 1, 1]


def test_duplicate_vote_messages_have_no_effect():
    """§5.5: a duplicate RequestVote does not yield a second vote, either."""
    raft = candidate()
    for _ in range(3):
        receive(raft, "b", RequestVoteReply(vote_granted=True))
    assert [entry.term for entry in carry_out(raft).entries] == [1]
    voter = follower(term=1)
    for _ in range(3):
        receive(voter, "b", RequestVote(0, 0))
    assert [message.body.vote_granted for message in carry_out(voter).messages] == [True] * 3


@pytest.mark.parametrize("seed", range(5))
def test_duplicated_and_reordered_messages_give_the_same_outcome(seed):
    """§5.5: the outcome is that of a reliable network."""
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


def test_reply_to_a_request_from_before_a_crash_is_ignored():
    """§5.5: the node has restarted since it sent the request."""
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


def test_append_may_overlap_the_followers_log():
    """§5.5: the overlap is recognized entry by entry."""
    raft = follower([1, 1, 2], term=3)
    receive(raft, "b", AppendEntries(1, 1, tuple(log_of(1, 1, 3, 3)[1:]), 0, 0))
    assert [entry.index for entry in carry_out(raft).entries] == [3, 4]
    assert terms_of(raft) == [1, 1, 3, 3]
