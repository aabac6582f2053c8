"""Figure 2, "State": what a server starts with, and what is on stable storage before it answers."""

from raft_pkg.core.messages import AppendEntries, AppendEntriesReply, RequestVote, RequestVoteReply
from raft_pkg.core.types import HardState, Role
from tests.support.core import candidate, carry_out, follower, leader, log_of, receive, replies


def test_a_server_boots_with_term_0_no_vote_an_empty_log_and_nothing_committed():
    """Figure 2, State: currentTerm 0, votedFor null, commitIndex 0."""
    raft = follower()
    assert (raft.current_term, raft.voted_for, raft.log.last_index, raft.commit_index) == (0, None, 0, 0)
    assert raft.role is Role.FOLLOWER
    assert carry_out(raft).hard_state is None


def test_the_first_index_of_the_log_is_1():
    """Figure 2, State: log[], "first index is 1"."""
    assert leader().log.slice(1, 2)[0].index == 1


def test_a_server_restarts_as_a_follower_with_the_term_vote_and_log_of_its_disk():
    """§5.2: "When servers start up, they begin as followers"; Figure 2: persistent state."""
    raft = follower([1, 1, 2], term=7, voted_for="b")
    assert raft.role is Role.FOLLOWER
    assert (raft.current_term, raft.voted_for, raft.log.last_index, raft.log.last_term) == (7, "b", 3, 2)


def test_what_is_committed_is_volatile_and_learned_anew():
    """Figure 2: commitIndex and lastApplied are volatile; nothing is applied before a leader has said so."""
    raft = follower([1, 1, 1])
    assert carry_out(raft).committed == []
    receive(raft, "b", AppendEntries(3, 1, (), leader_commit=2, read_round=0))
    assert [entry.index for entry in carry_out(raft).committed] == [1, 2]


def test_a_leader_begins_with_next_index_after_its_log_and_match_index_0():
    """Figure 2, State: nextIndex is the leader's last log index + 1, matchIndex 0."""
    raft = candidate([1, 1, 2])
    receive(raft, "b", RequestVoteReply(vote_granted=True))
    assert [(progress.next_index, progress.match_index) for progress in raft.progress.values()] == [(4, 0), (4, 0)]
    assert [body.prev_log_index for body in replies(carry_out(raft), AppendEntries)] == [3, 3]


def test_term_and_vote_are_written_with_the_answer_that_promises_them():
    """Figure 2: persistent state is "updated on stable storage before responding to RPCs"."""
    raft = follower(term=1)
    receive(raft, "b", RequestVote(0, 0), term=2)
    ready = raft.take_ready()
    assert ready.hard_state == HardState(2, "b")
    assert ready.early_messages == []
    assert [message.body for message in ready.messages] == [RequestVoteReply(vote_granted=True)]


def test_entries_are_written_with_the_answer_that_promises_them():
    """Figure 2: the log too is on stable storage before the follower says success."""
    raft = follower(term=1)
    receive(raft, "b", AppendEntries(0, 0, tuple(log_of(1, 1)), leader_commit=0, read_round=0))
    ready = raft.take_ready()
    assert ready.entries == log_of(1, 1)
    assert ready.early_messages == []
    assert [message.body for message in ready.messages] == [AppendEntriesReply(True, match_index=2)]


def test_a_candidate_asks_for_votes_only_once_its_own_is_on_disk():
    """§5.2: a candidate votes for itself; that vote is a promise as any other."""
    raft = follower(term=1)
    raft.tick(raft.next_timeout())
    ready = raft.take_ready()
    assert ready.hard_state == HardState(2, "a")
    assert ready.early_messages == []
    assert len(ready.messages) == 2


def test_a_leaders_appends_may_leave_before_its_own_disk_has_them():
    """Dissertation §10.2.1: the leader writes to its disk in parallel; it promises nothing in AppendEntries."""
    raft = leader()
    for peer in raft.peers:
        receive(raft, peer, AppendEntriesReply(True, match_index=1))
    carry_out(raft)
    raft.propose(b"x")
    ready = raft.take_ready()
    assert [entry.data for entry in ready.entries] == [b"x"]
    assert len(replies(ready, AppendEntries)) == len(ready.early_messages) == 2


def test_nothing_is_written_or_handed_out_twice():
    """Each entry goes to the disk once, and to the state machine once, however often a message is repeated."""
    raft = follower(term=1)
    for _ in range(3):
        receive(raft, "b", AppendEntries(0, 0, tuple(log_of(1, 1)), leader_commit=2, read_round=0))
    ready = raft.take_ready()
    assert ready.entries == ready.committed == log_of(1, 1)
    receive(raft, "b", AppendEntries(0, 0, tuple(log_of(1, 1)), leader_commit=2, read_round=0))
    ready = raft.take_ready()
    assert ready.entries == ready.committed == []
