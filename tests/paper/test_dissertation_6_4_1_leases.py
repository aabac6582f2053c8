"""Dissertation §6.4.1: reads by a lease, which nobody has to be asked for, and what it assumes of clocks."""

from dataclasses import replace

import pytest

from raft_pkg.core.config import RaftConfig
from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raft_pkg.core.types import Role
from tests.support.core import CONFIG, acknowledge, append, carry_out, follower, receive, replies
from tests.support.members import configuration, lead

ABC = configuration("abc")
LEASES = replace(CONFIG, check_quorum=True, lease_reads=True, clock_drift_max=0.1)
LENGTH = LEASES.election_timeout_min * 0.9


def holding(config=LEASES):
    """A leader whose heartbeats of time `began` were answered by b; returns it and that time."""
    raft = lead(ABC, config=config)
    began = raft.next_timeout()
    raft.tick(began)
    carry_out(raft)
    receive_answer(raft, "b", now=began + 0.01)
    return raft, began


def receive_answer(raft, sender, now):
    """A follower answers the newest round, at a time."""
    reply = AppendEntriesReply(True, match_index=raft.log.last_index, read_round=raft._leader_reads._queue.round)
    receive(raft, sender, reply, now=now)
    carry_out(raft)


def read(raft, now):
    """Ask for a read at a time; returns what was answered at once."""
    raft._state.now = now
    number = raft.read_index()
    ready = raft.take_ready()
    return [index for read_number, index in ready.reads if read_number == number]


def test_leases_are_off_unless_they_are_asked_for():
    """§6.4.1: they trust clocks, which the rest of Raft does not."""
    assert not RaftConfig().lease_reads


def test_a_lease_needs_voters_that_protect_the_leader():
    """§6.4.1, §4.2.3: without check-quorum they may elect another at any time."""
    with pytest.raises(ValueError, match="lease_reads requires check_quorum"):
        RaftConfig(lease_reads=True, check_quorum=False)


@pytest.mark.parametrize("drift", [-0.1, 1.0, float("nan")])
def test_a_margin_that_leaves_no_lease_is_refused(drift):
    """§6.4.1."""
    with pytest.raises(ValueError, match="clock_drift_max must be at least 0 and below 1"):
        RaftConfig(clock_drift_max=drift)


def test_within_its_lease_a_leader_asks_nobody():
    """§6.4.1: a majority has promised to elect no other for an election time-out."""
    raft, began = holding()
    assert read(raft, began + 0.02) == [1]
    assert replies(raft.take_ready(), AppendEntries) == []


def test_a_lease_counts_from_the_sending_of_the_round():
    """§6.4.1, Figure 6.3: "start + election timeout / clock drift bound", and not from the answers."""
    raft, began = holding()
    assert read(raft, began + LENGTH - 0.001) == [1]
    assert read(raft, began + LENGTH) == []


def test_the_margin_is_for_clocks_that_run_at_different_rates():
    """§6.4.1, Figure 6.3: "clock drift bound"."""
    raft, began = holding(replace(LEASES, clock_drift_max=0.5))
    assert read(raft, began + LEASES.election_timeout_min * 0.5 - 0.001) == [1]
    assert read(raft, began + LEASES.election_timeout_min * 0.5) == []


def test_one_answer_of_three_is_no_majority_of_five():
    """§6.4.1: a lease needs the answers of a majority of the cluster."""
    raft = lead(configuration("abcde"), config=LEASES)
    began = raft.next_timeout()
    raft.tick(began)
    carry_out(raft)
    receive_answer(raft, "b", now=began + 0.01)
    assert read(raft, began + 0.02) == []
    receive_answer(raft, "c", now=began + 0.03)
    assert read(raft, began + 0.04) == [1]


def test_without_its_lease_a_leader_asks_as_without_leases():
    """§6.4: a read is late then, not refused."""
    raft, began = holding()
    raft._state.now = began + LENGTH
    number = raft.read_index()
    (body, _) = replies(carry_out(raft), AppendEntries)
    acknowledge(raft, "c", read_round=body.read_round)
    assert carry_out(raft).reads == [(number, 1)]


def test_answers_to_old_rounds_renew_nothing():
    """§6.4.1: each round counts from its own beginning."""
    raft, began = holding()
    receive(raft, "c", AppendEntriesReply(True, match_index=1, read_round=1), now=began + 0.05)
    assert read(raft, began + LENGTH) == []


def test_no_lease_before_the_leader_has_committed_in_its_own_term():
    """§6.4, step 1: until then it does not know what is committed."""
    raft = lead(ABC, terms=[1, 1], config=LEASES, committed=False)
    acknowledge(raft, "b", "c", up_to=2, read_round=raft._leader_reads._queue.round)
    number = raft.read_index()
    assert carry_out(raft).reads == []
    acknowledge(raft, "b", read_round=raft._leader_reads._queue.round)
    assert carry_out(raft).reads == [(number, 3)]


def test_a_new_leader_has_none():
    """§6.4.1: it has not been acknowledged by anybody yet, whatever was before."""
    raft, began = holding()
    append(raft, "c", (1, 1), term=2, now=began + 0.01)
    now = raft.next_timeout()
    raft.tick(now)
    receive(raft, "b", RequestVoteReply(vote_granted=True), now=now)
    carry_out(raft)
    acknowledge(raft, "b", up_to=2)  # committed, and no answer to a round of this term
    assert (raft.role, raft.commit_index) == (Role.LEADER, 2)
    assert read(raft, now) == []


def test_the_lease_ends_before_timeout_now_is_sent():
    """§6.4.1: the target of a transfer is elected at once, whatever voters have promised this leader."""
    raft, began = holding()
    raft.transfer_leadership("b", began + 0.02)
    assert replies(carry_out(raft), TimeoutNow) == [TimeoutNow()]
    assert read(raft, began + 0.02) == []


def test_it_does_not_come_back_in_that_term():
    """§6.4.1, §3.10: the order may arrive late."""
    raft, began = holding()
    raft.transfer_leadership("b", began + 0.02)
    carry_out(raft)
    now = began
    while raft.transfer_target is not None:
        now = raft.next_timeout()
        raft.tick(now)
        carry_out(raft)
        receive_answer(raft, "b", now)
    assert raft.role is Role.LEADER
    assert read(raft, now) == []


def test_a_leader_alone_needs_nobodys_word():
    """§6.4.1: its own round is its majority, each time; and no round is remembered for ever."""
    raft = lead(configuration("a"), config=LEASES)
    for _ in range(100):
        now = raft.next_timeout()
        raft.tick(now)
        carry_out(raft)
    assert read(raft, now + 0.01) == [1]
    assert len(raft._leader_reads._queue._begun_at) == 0


def test_questions_of_followers_are_answered_by_the_lease():
    """§6.4, §6.4.1."""
    raft, began = holding()
    receive(raft, "c", ReadIndex(71), now=began + 0.02)
    assert replies(carry_out(raft), ReadIndexReply) == [ReadIndexReply(71, 1)]


def test_the_voters_keep_what_the_lease_assumes():
    """§6.4.1, §4.2.3: who has answered a leader elects no other within the minimum election time-out; nor does who
    has restarted since, though it has forgotten when that was."""
    raft = follower([1], term=1, config=LEASES)
    receive(raft, "c", RequestVote(9, 1), term=2, now=LEASES.election_timeout_min - 0.001)
    assert (raft.current_term, raft.voted_for) == (1, None)
    append(raft, "b", (1, 1), now=5.0)
    receive(raft, "c", RequestVote(9, 1), term=2, now=5.0 + LEASES.election_timeout_min - 0.001)
    assert (raft.current_term, raft.voted_for) == (1, None)
