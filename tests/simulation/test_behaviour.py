"""Each rule of behaviour is checked: a real core that breaks it, driven by hand, is reported."""

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
from raft_testbed.simulation.behaviour import (
    CAMPAIGNS,
    CHECK_QUORUM,
    ELECTION_TIMER,
    LEADER_STICKINESS,
    LEASE,
    PROMOTION,
    RANDOMIZED_TIMEOUTS,
    READ_INDEX,
    REMOVED_LEADER,
    SAME_TIMEOUTS,
    BehaviourChecker,
)
from raft_testbed.simulation.safety import Violation

CONFIG = RaftConfig()
LEASES = RaftConfig(lease_reads=True)
LEASE_SECONDS = LEASES.election_timeout_min * (1 - LEASES.clock_drift_max)


class CheckedCore:
    """The core of node `a` of three, and the checks of its behaviour."""

    def __init__(self, config: RaftConfig = CONFIG) -> None:
        self.raft = Raft("a", Configuration.of("a", "b", "c"), config=config, random=Random(1), now=0.0)
        self.checker = BehaviourChecker(self.raft, config)

    def iterate(self, now: float, *bodies: Body, sender: str = "b", term: int = 1) -> None:
        for body in bodies:
            message = Message(sender, "a", term, body)
            self.checker.message_received(message)
            self.raft.receive(message, now)
        self.checker.iteration_began()
        self.checker.iteration_ended(self.raft, now)

    def lead(self) -> None:
        self.raft._state.current_term, self.raft._state.role, self.raft._replication.progress = 1, Role.LEADER, {}
        self.iterate(1.0)

    def reset_timer(self, now: float) -> None:
        self.raft._state.now = now
        self.raft._elections.reset_timer()

    def send(self, message: Message, now: float) -> None:
        self.checker.message_sent(message, self.raft, now)

    def heartbeat(self, read_round: int, now: float) -> None:
        self.send(Message("a", "b", 1, AppendEntries(0, 0, (), 0, read_round)), now)

    def acknowledge(self, read_round: int, incarnation: int = 0) -> None:
        self.checker.message_received(
            Message("b", "a", 1, AppendEntriesReply(True, read_round=read_round), incarnation)
        )
        self.checker.iteration_began()


HEARTBEAT = AppendEntries(0, 0, (), 0, 0)


def breaks(rule: str):  # type: ignore[no-untyped-def]
    return pytest.raises(Violation, match=rule)


def test_a_correct_core_passes() -> None:
    checked = CheckedCore()
    for number in range(20):
        checked.iterate(0.05 * number, HEARTBEAT)
    checked.iterate(1.3, RequestVote(0, 0), sender="c", term=2)


def test_resetting_the_election_timer_without_a_reason() -> None:
    checked = CheckedCore()
    checked.reset_timer(0.1)
    with breaks(ELECTION_TIMER):
        checked.iterate(0.1)


def test_resetting_the_election_timer_for_a_refused_vote() -> None:
    checked = CheckedCore()
    checked.raft._state.current_term, checked.raft._state.voted_for = 1, "c"
    checked.iterate(0.01)
    checked.reset_timer(0.1)
    with breaks(ELECTION_TIMER):
        checked.iterate(0.1, RequestVote(0, 0))


def test_not_resetting_the_election_timer_for_the_leader() -> None:
    checked = CheckedCore()
    checked.raft._elections.reset_timer = lambda: None  # type: ignore[method-assign]
    with breaks(ELECTION_TIMER):
        checked.iterate(0.1, HEARTBEAT)


def test_equal_election_timeouts() -> None:
    checked = CheckedCore()

    def reset() -> None:
        checked.raft._elections.deadline = checked.raft._state.now + 0.2

    checked.raft._elections.reset_timer = reset  # type: ignore[method-assign]
    with breaks(RANDOMIZED_TIMEOUTS):
        for number in range(SAME_TIMEOUTS + 1):
            checked.iterate(0.05 * number, HEARTBEAT)


@pytest.mark.parametrize("reply", [PreVoteReply(2, vote_granted=True), RequestVoteReply(vote_granted=True)])
def test_granting_a_vote_soon_after_a_message_of_the_leader(reply: Body) -> None:
    checked = CheckedCore()
    checked.iterate(0.1, HEARTBEAT)
    with breaks(LEADER_STICKINESS):
        checked.send(Message("a", "c", 2, reply), 0.2)


def test_granting_a_vote_for_a_transfer_or_after_the_timeout_passes() -> None:
    checked = CheckedCore()
    checked.iterate(0.1, HEARTBEAT)
    checked.checker.message_received(Message("c", "a", 2, RequestVote(0, 0, leadership_transfer=True)))
    checked.send(Message("a", "c", 2, RequestVoteReply(vote_granted=True)), 0.2)
    checked.send(Message("a", "b", 2, PreVoteReply(2, vote_granted=True)), 0.1 + CONFIG.election_timeout_min)


def test_leading_without_a_quorum() -> None:
    checked = CheckedCore()
    checked.lead()
    checked.iterate(1.5)
    with breaks(CHECK_QUORUM):
        checked.iterate(1.0 + 2 * CONFIG.election_timeout_max + CONFIG.heartbeat_interval + 0.01)


def test_serving_a_read_without_a_quorum() -> None:
    checked = CheckedCore()
    checked.lead()
    round_before = checked.checker.read_arrived()
    with breaks(READ_INDEX):
        checked.checker.read_served(round_before, checked.raft, 1.0)


def test_serving_a_read_by_an_earlier_heartbeat_round() -> None:
    checked = CheckedCore()
    checked.lead()
    checked.send(Message("a", "b", 1, AppendEntries(0, 0, (), 0, 1)), 1.0)
    round_before = checked.checker.read_arrived()
    checked.checker.message_received(Message("b", "a", 1, AppendEntriesReply(True, read_round=1)))
    checked.checker.iteration_began()
    with breaks(READ_INDEX):
        checked.checker.read_served(round_before, checked.raft, 1.0)
    checked.checker.message_received(Message("b", "a", 1, AppendEntriesReply(True, read_round=2)))
    checked.checker.iteration_began()
    checked.checker.read_served(round_before, checked.raft, 1.0)


def test_serving_a_read_by_an_acknowledgement_of_a_lost_disk() -> None:
    checked = CheckedCore()
    checked.lead()
    checked.acknowledge(2, incarnation=7)
    with breaks(READ_INDEX):
        checked.checker.read_served(1, checked.raft, 1.0)


def test_serving_a_followers_read_without_a_quorum() -> None:
    checked = CheckedCore()
    checked.lead()
    checked.heartbeat(1, 1.0)
    checked.checker.message_received(Message("c", "a", 1, ReadIndex(5)))
    reply = Message("a", "c", 1, ReadIndexReply(5, 1))
    checked.acknowledge(1)
    with breaks(READ_INDEX):
        checked.send(reply, 1.0)
    checked.acknowledge(2)
    checked.send(reply, 1.0)


def test_serving_a_read_after_the_lease() -> None:
    checked = CheckedCore(LEASES)
    checked.lead()
    checked.heartbeat(1, 1.0)
    checked.acknowledge(1)
    checked.checker.read_served(1, checked.raft, 1.0 + LEASE_SECONDS - 0.001)
    with breaks(LEASE):
        checked.checker.read_served(1, checked.raft, 1.0 + LEASE_SECONDS + 0.001)


def test_serving_a_read_by_a_lease_after_a_transfer() -> None:
    checked = CheckedCore(LEASES)
    checked.lead()
    checked.heartbeat(1, 1.0)
    checked.acknowledge(1)
    checked.send(Message("a", "b", 1, TimeoutNow()), 1.01)
    with breaks(LEASE):
        checked.checker.read_served(1, checked.raft, 1.02)


def test_a_lease_outlasts_a_membership_change() -> None:
    checked = CheckedCore(LEASES)
    checked.lead()
    checked.heartbeat(1, 1.0)
    checked.acknowledge(1)
    checked.iterate(1.01)
    checked.raft._configuration._configurations.append(1, Configuration.of("a", "c", "d"))
    checked.iterate(1.02)
    checked.checker.read_served(1, checked.raft, 1.03)


def test_the_election_timer_of_a_non_voter_is_free() -> None:
    checked = CheckedCore()
    checked.raft._configuration._configurations.append(1, Configuration.of("b", "c"))
    checked.raft._configuration._refresh()
    checked.iterate(0.05)
    checked.reset_timer(0.1)
    checked.iterate(0.1)


def test_campaigning_as_a_non_voter() -> None:
    checked = CheckedCore()
    checked.raft._configuration._configurations.append(1, Configuration.of("b", "c"))
    checked.raft._state.role = Role.PRE_CANDIDATE
    checked.checker._check_campaign(checked.raft)
    checked.raft._state.commit_index = 1
    with breaks(CAMPAIGNS):
        checked.checker._check_campaign(checked.raft)


def test_leading_after_removal() -> None:
    checked = CheckedCore()
    checked.lead()
    checked.raft._configuration._configurations.append(1, Configuration.of("b", "c"))
    checked.iterate(1.01)
    checked.raft._state.commit_index = 1
    with breaks(REMOVED_LEADER):
        checked.iterate(1.02)


@pytest.mark.parametrize("match_index", [100, 99 - CONFIG.appends_in_flight_max, 98 - CONFIG.appends_in_flight_max])
def test_promoting_a_learner_that_is_far_behind(match_index: int) -> None:
    checked = CheckedCore()
    checked.lead()
    before = Configuration.of("a", "b", "c")
    checked.raft._configuration._configurations.append(1, replace(before, learners=(Member("d"),)))
    checked.iterate(1.01)
    checked.raft._configuration._configurations.append(
        100, replace(Configuration.of("a", "b", "c", "d"), outgoing=before.voters)
    )
    checked.raft._replication.progress = {"d": Progress(match_index + 1, 1.0, match_index=match_index)}
    expected = breaks(PROMOTION) if 99 - match_index > CONFIG.appends_in_flight_max else nullcontext()
    with expected:
        checked.iterate(1.02)
