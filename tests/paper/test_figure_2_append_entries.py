"""Figure 2, "AppendEntries RPC": rules for the receiver."""

import pytest

from raft_pkg.core.errors import InvariantError
from raft_pkg.core.messages import AppendEntries, AppendEntriesReply, Message, RequestVoteReply
from raft_pkg.core.types import Entry, EntryKind, Role
from tests.support.core import append, candidate, carry_out, follower, leader, log_of, receive, replies, terms_of


def test_append_of_older_term_is_rejected():
    """Figure 2, AppendEntries receiver 1: "Reply false if term < currentTerm"."""
    raft = follower([1], term=5)
    before = raft.next_timeout()
    receive(raft, "b", AppendEntries(1, 1, (Entry(2, 4, EntryKind.COMMANDS, b""),), 2, 0), term=4, now=0.1)
    (message,) = carry_out(raft).messages
    assert (message.recipient, message.term, message.body.success) == ("b", 5, False)
    assert (terms_of(raft), raft.commit_index, raft.leader) == ([1], 0, None)
    assert raft.next_timeout() == before


@pytest.mark.parametrize("prev", [(3, 1), (9, 1), (2, 2), (2, 3)], ids=str)
def test_append_is_rejected_if_the_preceding_entry_does_not_match(prev):
    """Figure 2, AppendEntries receiver 2: no entry at prevLogIndex whose term is prevLogTerm."""
    raft = follower([1, 1], term=3)
    reply = append(raft, "b", prev, [Entry(prev[0] + 1, 3, EntryKind.COMMANDS, b"")], commit=2)
    assert not reply.success
    assert reply.rejected_index == prev[0]
    assert (terms_of(raft), raft.commit_index) == ([1, 1], 0)


@pytest.mark.parametrize("prev", [(0, 0), (1, 1), (2, 1)], ids=str)
def test_append_is_accepted_if_the_preceding_entry_matches(prev):
    """Figure 2, AppendEntries receiver 2; index 0 precedes the first entry and always matches."""
    raft = follower([1, 1], term=3)
    reply = append(raft, "b", prev, [Entry(prev[0] + 1, 3, EntryKind.COMMANDS, b"")])
    assert reply == AppendEntriesReply(True, match_index=prev[0] + 1)
    assert terms_of(raft) == [1] * prev[0] + [3]


def test_conflicting_entry_and_its_successors_are_deleted():
    """Figure 2, AppendEntries receiver 3."""
    raft = follower([1, 1, 2, 2, 2], term=3)
    new = Entry(3, 3, EntryKind.COMMANDS, b"new")
    receive(raft, "b", AppendEntries(2, 1, (new,), 0, 0))
    ready = carry_out(raft)
    assert terms_of(raft) == [1, 1, 3]
    assert ready.entries == [new]


def test_existing_entries_are_kept_and_new_ones_appended():
    """Figure 2, AppendEntries receiver 4: "any new entries not already in the log"."""
    raft = follower([1, 1, 2], term=2)
    receive(raft, "b", AppendEntries(0, 0, tuple(log_of(1, 1, 2, 2, 2)), 0, 0))
    ready = carry_out(raft)
    assert terms_of(raft) == [1, 1, 2, 2, 2]
    assert ready.entries == log_of(1, 1, 2, 2, 2)[3:]


def test_short_append_deletes_no_later_entries():
    """Figure 2, AppendEntries receiver 3: only a conflict deletes entries; the message may be stale (§5.5)."""
    raft = follower([1, 1, 2, 2], term=2)
    reply = append(raft, "b", (1, 1), log_of(1, 1)[1:])
    assert reply == AppendEntriesReply(True, match_index=2)
    assert terms_of(raft) == [1, 1, 2, 2]


def test_match_index_is_the_last_new_entry():
    """Figure 2: later entries may differ from the leader's log."""
    raft = follower([1, 1, 1, 1], term=2)
    assert append(raft, "b", (2, 1)).match_index == 2


@pytest.mark.parametrize(("leader_commit", "expected"), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (100, 3)], ids=str)
def test_commit_index_follows_the_leader_up_to_the_last_new_entry(leader_commit, expected):
    """Figure 2, AppendEntries receiver 5: min(leaderCommit, index of last new entry)."""
    raft = follower([1, 1, 1, 1, 1], term=2)
    append(raft, "b", (2, 1), log_of(1, 1, 1)[2:], commit=leader_commit)
    assert raft.commit_index == expected


def test_commit_index_never_decreases():
    """Figure 2, State: commitIndex "increases monotonically"."""
    raft = follower([1, 1, 1], term=1)
    append(raft, "b", (3, 1), commit=3)
    append(raft, "b", (3, 1), commit=1)
    append(raft, "b", (1, 1), commit=1)
    assert raft.commit_index == 3


def test_heartbeat_resets_the_election_timer():
    """§5.2: "A server remains in follower state as long as it receives valid RPCs from a leader"."""
    raft = follower(term=1)
    before = raft.next_timeout()
    append(raft, "b", (0, 0), now=before - 0.001)
    assert raft.next_timeout() >= before - 0.001 + raft.config.election_timeout_min
    assert raft.leader == "b"


def test_rejected_append_of_current_leader_resets_the_election_timer():
    """§5.2: the leader is legitimate, whether or not the logs match."""
    raft = follower(term=1)
    before = raft.next_timeout()
    assert not append(raft, "b", (5, 1), now=before - 0.001).success
    assert raft.next_timeout() > before


def test_deleting_a_committed_entry_raises():
    """Figure 3, Leader Completeness: a leader that replaces a committed entry shows that safety is lost."""
    raft = follower([1, 1], term=1)
    append(raft, "b", (2, 1), commit=2)
    with pytest.raises(InvariantError, match=r"Leader Completeness.*entry 2 of a"):
        receive(raft, "b", AppendEntries(1, 1, (Entry(2, 2, EntryKind.COMMANDS, b""),), 0, 0), term=2)
    assert terms_of(raft) == [1, 1]


def test_leader_raises_on_another_leader_of_its_term():
    """Figure 3, Election Safety: there cannot be one."""
    raft = leader()
    with pytest.raises(InvariantError, match=r"Election Safety.*b and a both lead term 1"):
        receive(raft, "b", AppendEntries(0, 0, (), 0, 0))


def test_candidate_follows_the_leader_of_its_term():
    """§5.2: a leader whose term is at least the candidate's is legitimate."""
    raft = candidate()
    assert append(raft, "b", (0, 0)).success
    assert (raft.role, raft.leader) == (Role.FOLLOWER, "b")


@pytest.mark.parametrize(("sender", "recipient"), [("b", "c"), ("a", "a")])
def test_messages_for_other_nodes_are_ignored(sender, recipient):
    """Addresses are reused; a message for another node must change nothing, not even the term."""
    raft = follower(term=1)
    raft.receive(Message(sender, recipient, 9, AppendEntries(0, 0, (), 0, 0)), 0.0)
    assert raft.current_term == 1
    assert replies(carry_out(raft), AppendEntriesReply) == []


def test_leader_outside_the_configuration_is_accepted():
    """§6: servers accept log entries from a leader that is not part of their latest configuration."""
    raft = follower(term=1)
    assert append(raft, "non-member", (0, 0), term=9).success
    assert (raft.current_term, raft.leader) == (9, "non-member")


@pytest.mark.parametrize(
    ("sender", "incarnation"), [("non-member", 0), ("b", 7)], ids=["a non-member", "another incarnation"]
)
def test_replies_of_non_members_are_ignored(sender, incarnation):
    """§6: only members, in the incarnation of the configuration, count."""
    raft = candidate()
    term = raft.current_term
    for body in (RequestVoteReply(vote_granted=True), AppendEntriesReply(success=True, match_index=0)):
        raft.receive(Message(sender, "a", term + 8, body, incarnation), 0.0)
        raft.receive(Message(sender, "a", term, body, incarnation), 0.0)
    assert (raft.role, raft.current_term) == (Role.CANDIDATE, term)


def test_messages_for_another_incarnation_are_ignored():
    """A node that lost its disk must not reply for its previous incarnation."""
    raft = follower(term=1)
    body = AppendEntries(0, 0, (), 0, 0)
    raft.receive(Message("b", "a", 9, body, recipient_incarnation=7), 0.0)
    assert raft.current_term == 1
    assert carry_out(raft).messages == []


def test_append_before_the_first_entry_is_rejected():
    """Figure 2, AppendEntries receiver 2: no entry before index 1 has a term."""
    assert not append(follower(term=3), "b", (0, 2)).success
    assert not append(follower([1, 2], term=3), "b", (0, 2)).success
