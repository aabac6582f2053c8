"""Figure 2, "Rules for Servers": all servers, followers, candidates, leaders."""

import pytest

from raft_pkg.core.errors import NotLeaderError
from raft_pkg.core.messages import AppendEntries, AppendEntriesReply, RequestVote, RequestVoteReply
from raft_pkg.core.ready import BecameFollower, BecameLeader, ElectionStarted, LeaderChanged
from raft_pkg.core.types import EntryKind, HardState, Role
from tests.support.core import (
    CONFIG,
    acknowledge,
    append,
    candidate,
    carry_out,
    follower,
    leader,
    log_of,
    raft_events,
    receive,
    replies,
    terms_of,
)

# --- all servers ------------------------------------------------------------------------------------------------------


def test_committed_entries_are_applied_in_order_and_once():
    """Figure 2, All Servers: "If commitIndex > lastApplied: increment lastApplied, apply log[lastApplied]"."""
    raft = follower([1, 1, 1, 1], term=1)
    receive(raft, "b", AppendEntries(4, 1, (), leader_commit=2, read_round=0))
    assert carry_out(raft).committed == log_of(1, 1)
    receive(raft, "b", AppendEntries(4, 1, (), leader_commit=4, read_round=0))
    assert carry_out(raft).committed == log_of(1, 1, 1, 1)[2:]


@pytest.mark.parametrize("make", [follower, candidate, leader])
@pytest.mark.parametrize(
    "body",
    [
        RequestVote(1, 1),
        RequestVoteReply(vote_granted=True),
        AppendEntries(0, 0, (), 0, 0),
        AppendEntriesReply(True, match_index=1),
    ],
    ids=lambda body: type(body).__name__,
)
def test_newer_term_in_any_message_makes_a_follower(make, body):
    """Figure 2, All Servers: "If RPC request or response contains term T > currentTerm" (§5.1)."""
    raft = make()
    receive(raft, "b", body, term=7)
    assert (raft.current_term, raft.role) == (7, Role.FOLLOWER)
    assert raft.leader == ("b" if isinstance(body, AppendEntries) else None)
    assert carry_out(raft).hard_state == HardState(7, "b" if isinstance(body, RequestVote) else None)


@pytest.mark.parametrize("make", [follower, candidate, leader])
@pytest.mark.parametrize("body", [RequestVoteReply(vote_granted=True), AppendEntriesReply(True, match_index=9)])
def test_reply_of_older_term_is_ignored(make, body):
    """§5.1: its term is stale; and a reply gets no reply."""
    raft = make(term=4)
    before = (raft.current_term, raft.role, raft.commit_index)
    receive(raft, "b", body, term=3)
    assert (raft.current_term, raft.role, raft.commit_index) == before
    assert carry_out(raft).messages == []


def test_every_message_has_the_senders_term():
    """§5.1: "Current terms are exchanged whenever servers communicate"."""
    raft = leader(term=4)
    acknowledge(raft, "b")
    raft.propose(b"x")
    (message,) = carry_out(raft).early_messages
    assert (message.recipient, message.term) == ("b", 5)


# --- followers --------------------------------------------------------------------------------------------------------


def test_follower_sends_no_requests_before_its_election_timeout():
    """§5.2: followers "issue no requests on their own"."""
    raft = follower(now=10.0)
    raft.tick(raft.next_timeout() - 0.001)
    ready = carry_out(raft)
    assert raft.role is Role.FOLLOWER
    assert ready.messages == ready.early_messages == []


def test_follower_without_leader_becomes_candidate():
    """Figure 2, Followers: "If election timeout elapses … convert to candidate"."""
    raft = follower(term=3, now=10.0)
    raft.tick(raft.next_timeout())
    assert (raft.role, raft.current_term) == (Role.CANDIDATE, 4)


def test_heartbeats_prevent_elections():
    """§5.2: heartbeats "prevent new elections"."""
    raft = follower(term=1)
    now = 0.0
    for _ in range(100):
        now += CONFIG.heartbeat_interval
        append(raft, "b", (0, 0), now=now)
        raft.tick(now)
    assert (raft.role, raft.current_term, raft.leader) == (Role.FOLLOWER, 1, "b")


def test_leader_change_is_reported_once():
    """Log contract: leader_changed is logged when the leader changes."""
    raft = follower(term=1)
    receive(raft, "b", AppendEntries(0, 0, (), 0, 0))
    receive(raft, "b", AppendEntries(0, 0, (), 0, 0))
    assert raft_events(carry_out(raft), LeaderChanged) == [LeaderChanged(1, "b")]


@pytest.mark.parametrize("make", [follower, candidate])
def test_only_a_leader_accepts_commands_and_reads(make):
    """§8: a server that is not the leader rejects the request and names the leader that it knows."""
    raft = make()
    with pytest.raises(NotLeaderError, match="unknown") as error:
        raft.propose(b"x")
    assert error.value.leader is None
    append(raft, "b", (0, 0))
    with pytest.raises(NotLeaderError, match="leader is b") as error:
        raft.read_index()
    assert error.value.leader == "b"


# --- candidates -------------------------------------------------------------------------------------------------------


def test_candidate_increments_term_votes_for_itself_and_requests_votes():
    """Figure 2, Candidates: "On conversion to candidate, start election"."""
    raft = follower([1, 1], term=2, voters="abcde")
    due = raft.next_timeout()
    raft.tick(due)
    ready = carry_out(raft)
    assert ready.hard_state == HardState(3, "a")
    assert sorted(message.recipient for message in ready.messages) == ["b", "c", "d", "e"]
    assert raft_events(ready, ElectionStarted) == [ElectionStarted(3, votes_needed=3)]
    assert raft.next_timeout() >= due + CONFIG.election_timeout_min


@pytest.mark.parametrize(("voters", "needed"), [("abc", 1), ("abcd", 2), ("abcde", 2), ("abcdefg", 3)])
def test_candidate_needs_votes_of_a_majority(voters, needed):
    """Figure 2, Candidates: "If votes received from majority of servers: become leader"; its own vote counts."""
    raft = candidate(voters=voters)
    for peer in raft.peers[: needed - 1]:
        receive(raft, peer, RequestVoteReply(vote_granted=True))
    assert raft.role is Role.CANDIDATE
    receive(raft, raft.peers[needed - 1], RequestVoteReply(vote_granted=True))
    assert raft.role is Role.LEADER
    (raft_event,) = raft_events(carry_out(raft), BecameLeader)
    assert raft_event.votes == ("a", *raft.peers[:needed])


def test_duplicate_votes_count_once():
    """§5.2: a majority of servers, not of messages."""
    raft = candidate(voters="abcde")
    for _ in range(5):
        receive(raft, "b", RequestVoteReply(vote_granted=True))
    assert raft.role is Role.CANDIDATE


def test_refused_vote_does_not_count():
    """§5.2."""
    raft = candidate(voters="abcde")
    for peer in "bcde":
        receive(raft, peer, RequestVoteReply(vote_granted=False))
    assert raft.role is Role.CANDIDATE


def test_sole_server_elects_itself():
    """§5.2: its own vote is a majority."""
    raft = follower(voters="a")
    raft.tick(raft.next_timeout())
    ready = carry_out(raft)
    assert raft.role is Role.LEADER
    assert ready.hard_state == HardState(1, "a")
    assert [entry.kind for entry in ready.committed] == [EntryKind.NOOP]


def test_candidate_steps_down_for_the_leader_of_its_term():
    """Figure 2, Candidates: "If AppendEntries RPC received from new leader: convert to follower"."""
    raft = candidate(term=1)
    receive(raft, "b", AppendEntries(0, 0, (), 0, 0))
    ready = carry_out(raft)
    assert (raft.role, raft.leader, raft.current_term) == (Role.FOLLOWER, "b", 2)
    assert raft_events(ready, BecameFollower) == [BecameFollower(2, "b", "b leads")]
    assert ready.hard_state is None  # its vote in this term stays


def test_candidate_ignores_leader_of_older_term():
    """§5.2: "rejects the RPC and continues in candidate state"."""
    raft = candidate(term=4)
    receive(raft, "b", AppendEntries(0, 0, (), 0, 0), term=4)
    (message,) = carry_out(raft).messages
    assert (raft.role, message.term, message.body.success) == (Role.CANDIDATE, 5, False)


def test_candidate_starts_new_election_after_timeout():
    """Figure 2, Candidates: "If election timeout elapses: start new election"; earlier votes do not count."""
    raft = candidate(voters="abcde")
    receive(raft, "b", RequestVoteReply(vote_granted=True))
    raft.tick(raft.next_timeout())
    ready = carry_out(raft)
    assert (raft.role, raft.current_term) == (Role.CANDIDATE, 2)
    assert len(replies(ready, RequestVote)) == 4
    receive(raft, "c", RequestVoteReply(vote_granted=True))
    assert raft.role is Role.CANDIDATE


# --- leaders ----------------------------------------------------------------------------------------------------------


def test_new_leader_sends_heartbeats_to_all():
    """Figure 2, Leaders: "Upon election: send initial … AppendEntries RPCs (heartbeat) to each server"."""
    raft = candidate([1, 1], term=2, voters="abcde")
    receive(raft, "b", RequestVoteReply(vote_granted=True))
    receive(raft, "c", RequestVoteReply(vote_granted=True))
    ready = carry_out(raft)
    assert sorted(message.recipient for message in ready.early_messages) == ["b", "c", "d", "e"]
    for body in replies(ready, AppendEntries):
        assert (body.prev_log_index, body.prev_log_term) == (2, 1)
        assert [(entry.index, entry.term, entry.kind) for entry in body.entries] == [(3, 3, EntryKind.NOOP)]
    assert raft_events(ready, LeaderChanged)[-1] == LeaderChanged(3, "a")


def test_idle_leader_repeats_heartbeats():
    """Figure 2, Leaders: "repeat during idle periods to prevent election timeouts (§5.2)"."""
    raft = leader()
    acknowledge(raft, "b", "c")
    carry_out(raft)
    for _ in range(3):
        due = raft.next_timeout()
        raft.tick(due - 0.001)
        assert carry_out(raft).early_messages == []
        raft.tick(due)
        ready = carry_out(raft)
        assert [body.entries for body in replies(ready, AppendEntries)] == [(), ()]
        assert raft.next_timeout() == due + CONFIG.heartbeat_interval


def test_leader_appends_and_sends_a_command():
    """Figure 2, Leaders: "If command received from client: append entry to local log"."""
    raft = leader()
    acknowledge(raft, "b", "c")
    carry_out(raft)
    entry = raft.propose(b"x")
    ready = carry_out(raft)
    assert (entry.index, entry.term, entry.data) == (2, 1, b"x")
    assert [body.entries for body in replies(ready, AppendEntries)] == [(entry,), (entry,)]
    assert ready.committed == []  # "respond after entry applied to state machine"


def test_leader_sends_from_next_index_and_updates_progress():
    """Figure 2, Leaders: "If successful: update nextIndex and matchIndex for follower (§5.3)"."""
    raft = leader([1, 1])
    acknowledge(raft, "b")
    assert (raft.progress["b"].next_index, raft.progress["b"].match_index) == (4, 3)
    assert (raft.progress["c"].next_index, raft.progress["c"].match_index) == (3, 0)


def test_leader_retries_before_the_rejected_index():
    """Figure 2, Leaders: "If AppendEntries fails because of log inconsistency: decrement nextIndex and retry"."""
    raft = leader([1, 1, 1])
    receive(raft, "b", AppendEntriesReply(False, rejected_index=3, conflict_index=2))
    (body,) = replies(carry_out(raft), AppendEntries)
    assert (body.prev_log_index, body.prev_log_term) == (1, 1)
    assert [entry.index for entry in body.entries] == [2, 3, 4]


def test_majority_commits_and_followers_learn_the_commit_index():
    """Figure 2, Leaders: "If there exists an N … set commitIndex = N"; §5.3: followers learn of it."""
    raft = leader(voters="abcde")
    raft.propose(b"x")
    carry_out(raft)
    acknowledge(raft, "b")
    assert raft.commit_index == 0
    acknowledge(raft, "c", up_to=1)
    assert raft.commit_index == 1
    acknowledge(raft, "c")
    assert raft.commit_index == 2
    assert [entry.index for entry in carry_out(raft).committed] == [1, 2]
    raft.tick(raft.next_timeout())
    assert {body.leader_commit for body in replies(carry_out(raft), AppendEntries)} == {2}


def test_leader_counts_itself_only_after_its_own_sync():
    """§5.3: committed means stored on a majority; an entry that is not synced is not stored."""
    raft = leader()
    acknowledge(raft, "b", "c")
    carry_out(raft)
    entry = raft.propose(b"x")
    raft.take_ready()
    acknowledge(raft, "b")
    assert raft.commit_index == 1
    raft.synced(entry)
    assert raft.commit_index == 2


def test_leader_does_not_count_replaced_entries_on_its_disk():
    """§5.3: five entries were synced, then three replaced by one; a new fourth entry is not on disk yet."""
    raft = follower([1, 1, 1, 1, 1], term=1)
    append(raft, "b", (2, 1), log_of(1, 1, 2)[2:], term=2)
    raft.tick(raft.next_timeout())
    carry_out(raft)
    receive(raft, "b", RequestVoteReply(vote_granted=True))
    entry = raft.take_ready().entries[-1]
    acknowledge(raft, "b")
    assert (terms_of(raft), raft.commit_index) == ([1, 1, 2, 3], 0)
    raft.synced(entry)
    assert raft.commit_index == 4


def test_majority_of_followers_commits_without_the_leaders_disk():
    """Dissertation §10.2.1: "the leader may even commit an entry before it has been written to its own disk"."""
    raft = leader()
    acknowledge(raft, "b", "c")
    carry_out(raft)
    raft.propose(b"x")
    raft.take_ready()
    acknowledge(raft, "b", "c")
    assert raft.commit_index == 2


def test_sync_of_a_replaced_entry_does_not_count():
    """§5.3: the entry of a deposed leader is no longer the one at its index."""
    raft = leader()
    entry = raft.propose(b"x")
    raft.take_ready()
    append(raft, "b", (0, 0), log_of(2, 2, 2), term=2)
    raft.synced(entry)
    assert terms_of(raft) == [2, 2, 2]
    assert raft.commit_index == 0


def test_leader_never_deletes_or_overwrites_its_entries():
    """Figure 3, Leader Append-Only (§5.3)."""
    raft = leader([1, 1, 2])
    before = raft.log.slice(1, 5)
    receive(raft, "b", AppendEntriesReply(False, rejected_index=3, conflict_index=1))
    receive(raft, "c", AppendEntriesReply(True, match_index=4))
    raft.propose(b"x")
    carry_out(raft)
    assert raft.log.slice(1, 5) == before


def test_deposed_leader_stops_leading():
    """Figure 2, All Servers, for the leader: it sends no appends and no heartbeats, and starts an election timer."""
    raft = leader()
    receive(raft, "b", RequestVoteReply(vote_granted=False), term=5, now=1.0)
    ready = carry_out(raft)
    assert raft_events(ready, BecameFollower) == [BecameFollower(5, None, "b has a newer term")]
    assert ready.early_messages == []
    assert 1.0 + CONFIG.election_timeout_min <= raft.next_timeout() <= 1.0 + CONFIG.election_timeout_max
    receive(raft, "c", AppendEntriesReply(True, match_index=1))
    assert raft.commit_index == 0
