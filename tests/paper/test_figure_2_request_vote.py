"""Figure 2, "RequestVote RPC": arguments, and rules for the receiver."""

import pytest

from raft_pkg.core.messages import AppendEntries, RequestVote, RequestVoteReply
from raft_pkg.core.ready import VoteGranted
from raft_pkg.core.types import HardState, Role
from tests.support.core import candidate, carry_out, follower, leader, raft_events, receive, replies, vote


def test_candidate_sends_term_id_and_last_entry():
    """Figure 2, RequestVote, arguments."""
    raft = follower([1, 1, 3], term=4)
    raft.tick(raft.next_timeout())
    ready = carry_out(raft)
    assert {(message.sender, message.recipient, message.term) for message in ready.messages} == {
        ("a", "b", 5),
        ("a", "c", 5),
    }
    assert replies(ready, RequestVote) == [RequestVote(last_log_index=3, last_log_term=3)] * 2


def test_vote_is_refused_to_candidate_of_older_term():
    """Figure 2, RequestVote receiver 1: "Reply false if term < currentTerm"."""
    raft = follower(term=5)
    receive(raft, "b", RequestVote(9, 4), term=4)
    (message,) = carry_out(raft).messages
    assert (message.recipient, message.term, message.body) == ("b", 5, RequestVoteReply(vote_granted=False))
    assert raft.voted_for is None


def test_vote_is_granted_to_first_candidate_with_up_to_date_log():
    """Figure 2, RequestVote receiver 2: votedFor is null."""
    raft = follower([1, 1], term=2)
    receive(raft, "b", RequestVote(2, 1))
    ready = carry_out(raft)
    assert replies(ready, RequestVoteReply) == [RequestVoteReply(vote_granted=True)]
    assert ready.hard_state == HardState(2, "b")
    assert raft_events(ready, VoteGranted) == [VoteGranted(2, "b")]


def test_vote_is_granted_again_to_the_same_candidate():
    """Figure 2, RequestVote receiver 2: votedFor is candidateId. The first reply may be lost (§5.5)."""
    raft = follower(term=2)
    assert vote(raft, "b", RequestVote(0, 0))
    receive(raft, "b", RequestVote(0, 0))
    ready = carry_out(raft)
    assert replies(ready, RequestVoteReply) == [RequestVoteReply(vote_granted=True)]
    assert ready.hard_state is None
    assert raft_events(ready, VoteGranted) == []


def test_second_candidate_of_the_term_is_refused():
    """§5.2: "Each server will vote for at most one candidate in a given term, on a first-come-first-served basis"."""
    raft = follower(term=2)
    assert vote(raft, "b", RequestVote(0, 0))
    assert not vote(raft, "c", RequestVote(100, 2))
    assert raft.voted_for == "b"


def test_vote_survives_a_restart():
    """§5.2 with Figure 2: votedFor is persistent, so that a term has at most one leader."""
    raft = follower(term=2, voted_for="b")
    assert not vote(raft, "c", RequestVote(100, 2))
    assert vote(raft, "b", RequestVote(0, 0))


def test_newer_term_resets_the_vote():
    """Figure 2: votedFor is the candidate "that received vote in current term"."""
    raft = follower(term=2, voted_for="b")
    assert vote(raft, "c", RequestVote(0, 0), term=3)
    assert (raft.current_term, raft.voted_for) == (3, "c")


def test_newer_term_is_adopted_even_if_the_vote_is_refused():
    """§5.1 and §5.4.1: the term is compared before the log."""
    raft = follower([2, 2])
    assert not vote(raft, "b", RequestVote(1, 1), term=9)
    assert (raft.current_term, raft.voted_for) == (9, None)


@pytest.mark.parametrize("make", [candidate, leader])
def test_candidates_and_leaders_refuse_votes(make):
    """§5.2: they have voted for themselves."""
    raft = make()
    assert not vote(raft, "b", RequestVote(100, raft.current_term))
    assert raft.voted_for == "a"
    assert raft.role is (Role.LEADER if make is leader else Role.CANDIDATE)


def test_granting_a_vote_resets_the_election_timer():
    """Figure 2, Followers: the timer runs "without … granting vote to candidate"."""
    raft = follower(term=1)
    before = raft.next_timeout()
    assert vote(raft, "b", RequestVote(0, 0), now=before - 0.001)
    assert raft.next_timeout() >= before - 0.001 + raft.config.election_timeout_min


def test_refusing_a_vote_does_not_reset_the_election_timer():
    """Figure 2, Followers: otherwise a candidate that cannot win would delay the elections of others."""
    raft = follower([1, 1], term=1)
    before = raft.next_timeout()
    assert not vote(raft, "b", RequestVote(0, 0), term=2, now=before - 0.001)
    assert raft.next_timeout() == before


def test_vote_of_older_term_does_not_count():
    """§5.1: "If a server receives a request with a stale term number, it rejects the request"; the same holds for
    replies."""
    raft = candidate(voters="abcde")
    for peer in "bcde":
        receive(raft, peer, RequestVoteReply(vote_granted=True), term=raft.current_term - 1)
    assert raft.role is Role.CANDIDATE
    assert carry_out(raft).messages == []


def test_vote_after_the_election_changes_nothing():
    """§5.2: the election is over."""
    raft = leader()
    receive(raft, "c", RequestVoteReply(vote_granted=True))
    receive(raft, "c", RequestVoteReply(vote_granted=False))
    assert raft.role is Role.LEADER
    raft = candidate()
    receive(raft, "b", AppendEntries(0, 0, (), 0, 0))
    receive(raft, "c", RequestVoteReply(vote_granted=True))
    assert raft.role is Role.FOLLOWER
