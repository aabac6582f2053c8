"""Dissertation §6.4.1: reads under a lease, which need no round of heartbeats, and their assumptions about clocks."""

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
    """Return a leader whose heartbeats of time `began` were acknowledged by b, and that time."""
    raft = lead(ABC, config=config)
    began = raft.next_timeout()
    raft.tick(began)
    carry_out(raft)
    acknowledge_round(raft, "b", now=began + 0.01)
    return raft, began


def acknowledge_round(raft, sender, now):
    """Deliver a follower's acknowledgement of the newest round, at a given time."""
    reply = AppendEntriesReply(True, match_index=raft.log.last_index, read_round=raft._leader_reads._queue.round)
    receive(raft, sender, reply, now=now)
    carry_out(raft)


def read(raft, now):
    """Request a read at a given time. Return the reads that are served at once."""
    raft._state.now = now
    request_id = raft.read_index()
    ready = raft.take_ready()
    return [index for read, index in ready.reads if read == request_id]


def test_leases_are_off_by_default():
    """§6.4.1: they rely on clocks, unlike the rest of Raft."""
    assert not RaftConfig().lease_reads


def test_leases_require_check_quorum():
    """§6.4.1, §4.2.3: without it, voters may elect another leader at any time."""
    with pytest.raises(ValueError, match="lease_reads requires check_quorum"):
        RaftConfig(lease_reads=True, check_quorum=False)


@pytest.mark.parametrize("drift", [-0.1, 1.0, float("nan")])
def test_clock_drift_must_leave_a_lease(drift):
    """§6.4.1."""
    with pytest.raises(ValueError, match="clock_drift_max must be at least 0 and below 1"):
        RaftConfig(clock_drift_max=drift)


def test_reads_within_the_lease_need_no_messages():
    """§6.4.1: a majority elects no other leader for an election time-out."""
    raft, began = holding()
    assert read(raft, began + 0.02) == [1]
    assert replies(raft.take_ready(), AppendEntries) == []


def test_lease_counts_from_the_start_of_the_round():
    """§6.4.1, Figure 6.3: "start + election timeout / clock drift bound", not from the replies."""
    raft, began = holding()
    assert read(raft, began + LENGTH - 0.001) == [1]
    assert read(raft, began + LENGTH) == []


def test_lease_is_shortened_by_the_clock_drift():
    """§6.4.1, Figure 6.3: "clock drift bound"."""
    raft, began = holding(replace(LEASES, clock_drift_max=0.5))
    assert read(raft, began + LEASES.election_timeout_min * 0.5 - 0.001) == [1]
    assert read(raft, began + LEASES.election_timeout_min * 0.5) == []


def test_lease_needs_a_majority():
    """§6.4.1: one acknowledgement of five nodes is not enough."""
    raft = lead(configuration("abcde"), config=LEASES)
    began = raft.next_timeout()
    raft.tick(began)
    carry_out(raft)
    acknowledge_round(raft, "b", now=began + 0.01)
    assert read(raft, began + 0.02) == []
    acknowledge_round(raft, "c", now=began + 0.03)
    assert read(raft, began + 0.04) == [1]


def test_reads_after_the_lease_need_a_round():
    """§6.4: the read is served later, not rejected."""
    raft, began = holding()
    raft._state.now = began + LENGTH
    request_id = raft.read_index()
    (body, _) = replies(carry_out(raft), AppendEntries)
    acknowledge(raft, "c", read_round=body.read_round)
    assert carry_out(raft).reads == [(request_id, 1)]


def test_replies_to_old_rounds_do_not_extend_the_lease():
    """§6.4.1: each round counts from its own start."""
    raft, began = holding()
    receive(raft, "c", AppendEntriesReply(True, match_index=1, read_round=1), now=began + 0.05)
    assert read(raft, began + LENGTH) == []


def test_no_lease_before_leader_commits_in_its_own_term():
    """§6.4, step 1: until then it does not know the commit index."""
    raft = lead(ABC, terms=[1, 1], config=LEASES, committed=False)
    acknowledge(raft, "b", "c", up_to=2, read_round=raft._leader_reads._queue.round)
    request_id = raft.read_index()
    assert carry_out(raft).reads == []
    acknowledge(raft, "b", read_round=raft._leader_reads._queue.round)
    assert carry_out(raft).reads == [(request_id, 3)]


def test_new_leader_has_no_lease():
    """§6.4.1: no round of its own has been acknowledged yet."""
    raft, began = holding()
    append(raft, "c", (1, 1), term=2, now=began + 0.01)
    now = raft.next_timeout()
    raft.tick(now)
    receive(raft, "b", RequestVoteReply(vote_granted=True), now=now)
    carry_out(raft)
    acknowledge(raft, "b", up_to=2)  # committed, but no round of this term is acknowledged
    assert (raft.role, raft.commit_index) == (Role.LEADER, 2)
    assert read(raft, now) == []


def test_lease_ends_before_timeout_now_is_sent():
    """§6.4.1: voters elect the transfer target at once."""
    raft, began = holding()
    raft.transfer_leadership("b", began + 0.02)
    assert replies(carry_out(raft), TimeoutNow) == [TimeoutNow()]
    assert read(raft, began + 0.02) == []


def test_lease_does_not_return_in_the_term():
    """§6.4.1, §3.10: TimeoutNow may arrive late."""
    raft, began = holding()
    raft.transfer_leadership("b", began + 0.02)
    carry_out(raft)
    now = began
    while raft.transfer_target is not None:
        now = raft.next_timeout()
        raft.tick(now)
        carry_out(raft)
        acknowledge_round(raft, "b", now)
    assert raft.role is Role.LEADER
    assert read(raft, now) == []


def test_sole_voter_extends_its_lease_by_itself():
    """§6.4.1: it is its own majority; past rounds are not remembered."""
    raft = lead(configuration("a"), config=LEASES)
    for _ in range(100):
        now = raft.next_timeout()
        raft.tick(now)
        carry_out(raft)
    assert read(raft, now + 0.01) == [1]
    assert len(raft._leader_reads._queue._begun_at) == 0


def test_forwarded_reads_are_served_under_the_lease():
    """§6.4, §6.4.1."""
    raft, began = holding()
    receive(raft, "c", ReadIndex(71), now=began + 0.02)
    assert replies(carry_out(raft), ReadIndexReply) == [ReadIndexReply(71, 1)]


def test_voters_protect_the_lease():
    """§6.4.1, §4.2.3: a voter that acknowledged a leader elects no other within the minimum election time-out, even if
    it has restarted since."""
    raft = follower([1], term=1, config=LEASES)
    receive(raft, "c", RequestVote(9, 1), term=2, now=LEASES.election_timeout_min - 0.001)
    assert (raft.current_term, raft.voted_for) == (1, None)
    append(raft, "b", (1, 1), now=5.0)
    receive(raft, "c", RequestVote(9, 1), term=2, now=5.0 + LEASES.election_timeout_min - 0.001)
    assert (raft.current_term, raft.voted_for) == (1, None)
