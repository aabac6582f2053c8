"""Each rule of time fires when a node breaks it, on a real core whose surroundings are made up."""

from contextlib import nullcontext
from dataclasses import replace
from random import Random

import pytest

from raft_pkg.core.config import RaftConfig
from raft_pkg.core.configuration import Configuration, Member
from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Body,
    Message,
    PreVoteReply,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raft_pkg.core.progress import Progress
from raft_pkg.core.raft import Raft
from raft_pkg.core.types import Role
from raft_testbed.simulation.invariants import Violation
from raft_testbed.simulation.rules import (
    CANDIDATES,
    CAUGHT_UP,
    CHECK_QUORUM,
    ELECTION_TIMER,
    LEASE,
    PROTECTED_LEADER,
    RANDOMIZED_TIMEOUTS,
    READ_INDEX,
    REMOVED_LEADER,
    SAME_TIMEOUTS,
    NodeRules,
)

CONFIG = RaftConfig()
LEASES = RaftConfig(lease_reads=True)
LEASE_SECONDS = LEASES.election_timeout_min * (1 - LEASES.clock_drift_max)


class Watched:
    """The core of node `a` of three, and its rules."""

    def __init__(self, config: RaftConfig = CONFIG) -> None:
        self.raft = Raft("a", Configuration.of("a", "b", "c"), config=config, random=Random(1), now=0.0)
        self.rules = NodeRules(self.raft, config)

    def turn(self, now: float, *bodies: Body, sender: str = "b", term: int = 1) -> None:
        for body in bodies:
            message = Message(sender, "a", term, body)
            self.rules.received(message)
            self.raft.receive(message, now)
        self.rules.iteration_began()
        self.rules.iteration_ended(self.raft, now)

    def lead(self) -> None:
        self.raft._state.current_term, self.raft._state.role, self.raft._replication.progress = 1, Role.LEADER, {}
        self.turn(1.0)

    def reset_timer(self, now: float) -> None:
        self.raft._state.now = now
        self.raft._elections.reset_timer()

    def sends(self, message: Message, now: float) -> None:
        self.rules.message_sent(message, self.raft, now)

    def heartbeat(self, read_round: int, now: float) -> None:
        self.sends(Message("a", "b", 1, AppendEntries(0, 0, (), 0, read_round)), now)

    def answer(self, read_round: int, incarnation: int = 0) -> None:
        self.rules.received(Message("b", "a", 1, AppendEntriesReply(True, read_round=read_round), incarnation))
        self.rules.iteration_began()


HEARTBEAT = AppendEntries(0, 0, (), 0, 0)


def breaks(rule: str):  # type: ignore[no-untyped-def]
    return pytest.raises(Violation, match=rule)


def test_a_working_core_breaks_none() -> None:
    watched = Watched()
    for number in range(20):
        watched.turn(0.05 * number, HEARTBEAT)
    watched.turn(1.3, RequestVote(0, 0), sender="c", term=2)


def test_putting_an_election_off_for_nothing() -> None:
    watched = Watched()
    watched.reset_timer(0.1)
    with breaks(ELECTION_TIMER):
        watched.turn(0.1)


def test_putting_an_election_off_for_a_refused_vote() -> None:
    watched = Watched()
    watched.raft._state.current_term, watched.raft._state.voted_for = 1, "c"
    watched.turn(0.01)
    watched.reset_timer(0.1)
    with breaks(ELECTION_TIMER):
        watched.turn(0.1, RequestVote(0, 0))


def test_not_waiting_longer_for_a_leader() -> None:
    watched = Watched()
    watched.raft._elections.reset_timer = lambda: None  # type: ignore[method-assign]
    with breaks(ELECTION_TIMER):
        watched.turn(0.1, HEARTBEAT)


def test_waiting_equally_long_each_time() -> None:
    watched = Watched()

    def reset() -> None:
        watched.raft._elections.deadline = watched.raft._state.now + 0.2

    watched.raft._elections.reset_timer = reset  # type: ignore[method-assign]
    with breaks(RANDOMIZED_TIMEOUTS):
        for number in range(SAME_TIMEOUTS + 1):
            watched.turn(0.05 * number, HEARTBEAT)


@pytest.mark.parametrize("reply", [PreVoteReply(2, vote_granted=True), RequestVoteReply(vote_granted=True)])
def test_helping_to_replace_a_leader_just_heard(reply: Body) -> None:
    watched = Watched()
    watched.turn(0.1, HEARTBEAT)
    with breaks(PROTECTED_LEADER):
        watched.sends(Message("a", "c", 2, reply), 0.2)


def test_helping_when_the_leader_ordered_it_or_is_silent() -> None:
    watched = Watched()
    watched.turn(0.1, HEARTBEAT)
    watched.rules.received(Message("c", "a", 2, RequestVote(0, 0, leadership_transfer=True)))
    watched.sends(Message("a", "c", 2, RequestVoteReply(vote_granted=True)), 0.2)
    watched.sends(Message("a", "b", 2, PreVoteReply(2, vote_granted=True)), 0.1 + CONFIG.election_timeout_min)


def test_leading_alone() -> None:
    watched = Watched()
    watched.lead()
    watched.turn(1.5)
    with breaks(CHECK_QUORUM):
        watched.turn(1.0 + 2 * CONFIG.election_timeout_max + CONFIG.heartbeat_interval + 0.01)


def test_answering_a_read_without_a_quorum() -> None:
    watched = Watched()
    watched.lead()
    round_before = watched.rules.read_arrived()
    with breaks(READ_INDEX):
        watched.rules.read_answered(round_before, watched.raft, 1.0)


def test_answering_a_read_by_heartbeats_from_before_it() -> None:
    watched = Watched()
    watched.lead()
    watched.sends(Message("a", "b", 1, AppendEntries(0, 0, (), 0, 1)), 1.0)
    round_before = watched.rules.read_arrived()
    watched.rules.received(Message("b", "a", 1, AppendEntriesReply(True, read_round=1)))
    watched.rules.iteration_began()
    with breaks(READ_INDEX):
        watched.rules.read_answered(round_before, watched.raft, 1.0)
    watched.rules.received(Message("b", "a", 1, AppendEntriesReply(True, read_round=2)))
    watched.rules.iteration_began()
    watched.rules.read_answered(round_before, watched.raft, 1.0)


def test_answering_a_read_by_a_node_that_lost_its_disk() -> None:
    watched = Watched()
    watched.lead()
    watched.answer(2, incarnation=7)
    with breaks(READ_INDEX):
        watched.rules.read_answered(1, watched.raft, 1.0)


def test_answering_a_followers_read_without_a_quorum() -> None:
    watched = Watched()
    watched.lead()
    watched.heartbeat(1, 1.0)
    watched.rules.received(Message("c", "a", 1, ReadIndex(5)))
    reply = Message("a", "c", 1, ReadIndexReply(5, 1))
    watched.answer(1)
    with breaks(READ_INDEX):
        watched.sends(reply, 1.0)
    watched.answer(2)
    watched.sends(reply, 1.0)


def test_reading_by_a_lease_that_is_over() -> None:
    watched = Watched(LEASES)
    watched.lead()
    watched.heartbeat(1, 1.0)
    watched.answer(1)
    watched.rules.read_answered(1, watched.raft, 1.0 + LEASE_SECONDS - 0.001)
    with breaks(LEASE):
        watched.rules.read_answered(1, watched.raft, 1.0 + LEASE_SECONDS + 0.001)


def test_reading_by_a_lease_after_handing_over() -> None:
    watched = Watched(LEASES)
    watched.lead()
    watched.heartbeat(1, 1.0)
    watched.answer(1)
    watched.sends(Message("a", "b", 1, TimeoutNow()), 1.01)
    with breaks(LEASE):
        watched.rules.read_answered(1, watched.raft, 1.02)


def test_a_lease_outlasts_a_change_of_the_members() -> None:
    watched = Watched(LEASES)
    watched.lead()
    watched.heartbeat(1, 1.0)
    watched.answer(1)
    watched.turn(1.01)
    watched.raft._configuration._configurations.append(1, Configuration.of("a", "c", "d"))
    watched.turn(1.02)
    watched.rules.read_answered(1, watched.raft, 1.03)


def test_a_node_without_a_vote_may_wait_as_it_likes() -> None:
    watched = Watched()
    watched.raft._configuration._configurations.append(1, Configuration.of("b", "c"))
    watched.raft._configuration._refresh()
    watched.turn(0.05)
    watched.reset_timer(0.1)
    watched.turn(0.1)


def test_standing_without_a_vote() -> None:
    watched = Watched()
    watched.raft._configuration._configurations.append(1, Configuration.of("b", "c"))
    watched.raft._state.role = Role.PRE_CANDIDATE
    watched.rules._check_candidate(watched.raft)
    watched.raft._state.commit_index = 1
    with breaks(CANDIDATES):
        watched.rules._check_candidate(watched.raft)


def test_leading_on_when_removed() -> None:
    watched = Watched()
    watched.lead()
    watched.raft._configuration._configurations.append(1, Configuration.of("b", "c"))
    watched.turn(1.01)
    watched.raft._state.commit_index = 1
    with breaks(REMOVED_LEADER):
        watched.turn(1.02)


@pytest.mark.parametrize("match_index", [100, 99 - CONFIG.appends_in_flight_max, 98 - CONFIG.appends_in_flight_max])
def test_promoting_a_learner_that_is_far_behind(match_index: int) -> None:
    watched = Watched()
    watched.lead()
    before = Configuration.of("a", "b", "c")
    watched.raft._configuration._configurations.append(1, replace(before, learners=(Member("d"),)))
    watched.turn(1.01)
    watched.raft._configuration._configurations.append(
        100, replace(Configuration.of("a", "b", "c", "d"), outgoing=before.voters)
    )
    watched.raft._replication.progress = {"d": Progress(match_index + 1, 1.0, match_index=match_index)}
    expected = breaks(CAUGHT_UP) if 99 - match_index > CONFIG.appends_in_flight_max else nullcontext()
    with expected:
        watched.turn(1.02)
