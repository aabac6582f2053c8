"""Figure 2, "State": initial values, and the state that is durable before a reply."""

from raft_pkg.core.messages import AppendEntries, AppendEntriesReply, RequestVote, RequestVoteReply
from raft_pkg.core.types import HardState, Role
from tests.support.core import candidate, carry_out, follower, leader, log_of, receive, replies


def test_new_server_has_initial_values():
    """Figure 2, State: currentTerm 0, votedFor null, commitIndex 0."""
    raft = follower()
    assert (raft.current_term, raft.voted_for, raft.log.last_index, raft.commit_index) == (0, None, 0, 0)
    assert raft.role is Role.FOLLOWER
    assert carry_out(raft).hard_state is None


def test_first_log_index_is_1():
    """Figure 2, State: log[], "first index is 1"."""
    assert leader().log.slice(1, 2)[0].index == 1


def test_restarted_server_is_follower_with_persistent_state():
    """§5.2: "When servers start up, they begin as followers"; Figure 2: persistent state."""
    raft = follower([1, 1, 2], term=7, voted_for="b")
    assert raft.role is Role.FOLLOWER
    assert (raft.current_term, raft.voted_for, raft.log.last_index, raft.log.last_term) == (7, "b", 3, 2)


def test_commit_index_is_volatile():
    """Figure 2: commitIndex and lastApplied are volatile; a restarted node learns the commit index from a leader."""
    raft = follower([1, 1, 1])
    assert carry_out(raft).committed == []
    receive(raft, "b", AppendEntries(3, 1, (), leader_commit=2, read_round=0))
    assert [entry.index for entry in carry_out(raft).committed] == [1, 2]


def test_new_leader_has_initial_next_index_and_match_index():
    """Figure 2, State: nextIndex is the leader's last log index + 1, matchIndex 0."""
    raft = candidate([1, 1, 2])
    receive(raft, "b", RequestVoteReply(vote_granted=True))
    assert [(progress.next_index, progress.match_index) for progress in raft.progress.values()] == [(4, 0), (4, 0)]
    assert [body.prev_log_index for body in replies(carry_out(raft), AppendEntries)] == [3, 3]


def test_term_and_vote_are_written_before_the_reply():
    """Figure 2: persistent state is "updated on stable storage before responding to RPCs"."""
    raft = follower(term=1)
    receive(raft, "b", RequestVote(0, 0), term=2)
    ready = raft.take_ready()
    assert ready.hard_state == HardState(2, "b")
    assert ready.early_messages == []
    assert [message.body for message in ready.messages] == [RequestVoteReply(vote_granted=True)]


def test_entries_are_written_before_the_reply():
    """Figure 2: the log is on stable storage before the follower replies."""
    raft = follower(term=1)
    receive(raft, "b", AppendEntries(0, 0, tuple(log_of(1, 1)), leader_commit=0, read_round=0))
    ready = raft.take_ready()
    assert ready.entries == log_of(1, 1)
    assert ready.early_messages == []
    assert [message.body for message in ready.messages] == [AppendEntriesReply(True, match_index=2)]


def test_candidate_requests_votes_after_its_own_vote_is_durable():
    """§5.2: a candidate votes for itself; this vote must be durable like any other."""
    raft = follower(term=1)
    raft.tick(raft.next_timeout())
    ready = raft.take_ready()
    assert ready.hard_state == HardState(2, "a")
    assert ready.early_messages == []
    assert len(ready.messages) == 2


def test_leader_sends_entries_before_its_own_sync():
    """Dissertation §10.2.1: the leader writes to its disk in parallel; AppendEntries acknowledges nothing."""
    raft = leader()
    for peer in raft.peers:
        receive(raft, peer, AppendEntriesReply(True, match_index=1))
    carry_out(raft)
    raft.propose(b"x")
    ready = raft.take_ready()
    assert [entry.data for entry in ready.entries] == [b"x"]
    assert len(replies(ready, AppendEntries)) == len(ready.early_messages) == 2


def test_entries_are_written_and_applied_once():
    """Duplicate messages do not write or apply an entry again."""
    raft = follower(term=1)
    for _ in range(3):
        receive(raft, "b", AppendEntries(0, 0, tuple(log_of(1, 1)), leader_commit=2, read_round=0))
    ready = raft.take_ready()
    assert ready.entries == ready.committed == log_of(1, 1)
    receive(raft, "b", AppendEntries(0, 0, tuple(log_of(1, 1)), leader_commit=2, read_round=0))
    ready = raft.take_ready()
    assert ready.entries == ready.committed == []
