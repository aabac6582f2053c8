"""One run: machines, network, clients, faults and invariants, from a seed to a verdict.

First a phase of faults. Then everything is healed, and within a bound of virtual time every client must succeed, all
changes of members must come to their end, one more must succeed, all members must have applied the same, and the leader
must keep its office. In the end the history is judged.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random
from typing import TextIO

from raft_pkg.core.membership import AddLearner, Change, Remove
from raft_testbed.checker.linearizability import Verdict, check_history
from raft_testbed.simulation.clients import History, SimulatedClient, Waiter
from raft_testbed.simulation.context import Setting
from raft_testbed.simulation.faults import FAULTS, PlannedFault, plan
from raft_testbed.simulation.invariants import LINEARIZABILITY, PROGRESS, STABILITY, Invariants, Violation
from raft_testbed.simulation.machine import Host, address_of
from raft_testbed.simulation.network import SimulatedNetwork
from raft_testbed.simulation.schedule import CALM, SYNC_SECONDS_CALM, Conditions, Options, draw
from raft_testbed.simulation.scheduler import Scheduler, TooManyStepsError
from raft_testbed.simulation.sessions import SessionModel
from raft_testbed.simulation.trace import Trace

PROGRESS_ELECTION_TIMEOUTS = 20
"""Within so many of the longest election time-outs after all is healed, the cluster must have caught up."""
CHANGE_ELECTION_TIMEOUTS = 40
"""Within so many, changes of members come to their end: a leader waits for a newcomer for half of it."""
ASK_SECONDS = 0.05
"""How often a change is asked for that was refused."""
STABLE_ELECTION_TIMEOUTS = 4
"""For so many of the longest election time-outs after that, the leader must keep its office."""
OPERATIONS_AFTER_FAULTS = 2
"""Each client must succeed so often after all is healed."""
SEARCH_STATES_MAX = 500_000
"""Where the judge of a history gives up; it is said then, and no violation is claimed."""


@dataclass(slots=True)
class Failure:
    """A violation, with what a person needs to look into it."""

    invariant: str
    what: str
    step: int
    at_seconds: float
    last_events: list[str]
    faults: list[str]


@dataclass(slots=True)
class Result:
    """What one run came to."""

    seed: int
    failure: Failure | None
    trace_hash: str
    steps: int
    simulated_seconds: float
    wall_seconds: float
    operations: int
    succeeded: int
    leaders: int
    """Terms that had a leader."""
    committed: int
    faults: int
    undecided: bool = False
    """Whether the judge of the history gave up."""
    fault_numbers: list[int] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """How often what is seldom has happened, by the event's name."""


def run(seed: int, options: Options, trace_stream: TextIO | None = None) -> Result:
    """Run one seed. Same seed and options, same result but for the wall time."""
    began = time.perf_counter()
    world = World(seed, options, trace_stream)
    failure = None
    try:
        world.run()
    except Violation as violation:
        failure = world.describe(violation)
    return world.result(failure, time.perf_counter() - began)


class World:
    """Everything of one run."""

    def __init__(self, seed: int, options: Options, trace_stream: TextIO | None = None) -> None:
        self.seed = seed
        self.conditions: Conditions = draw(seed)
        self.scheduler = Scheduler()
        self.trace = Trace(self.scheduler, trace_stream)
        self.network = SimulatedNetwork(self.scheduler, self.trace, Random(f"{seed} network"), self.conditions.network)
        self.invariants = Invariants(SessionModel().effects_of)
        ids = [f"raft-{number}" for number in range(options.nodes)]
        spares = [f"spare-{number}" for number in range(self.conditions.spares)]
        addresses = {node_id: address_of(node_id) for node_id in ids}
        setting = Setting(seed, self.conditions, self.scheduler, self.network, self.invariants, self.trace)
        self.hosts: Sequence[Host] = [
            *(Host(node_id, addresses, setting) for node_id in ids),
            *(Host(node_id, {**addresses, node_id: address_of(node_id)}, setting) for node_id in spares),
        ]
        for host in self.hosts[len(ids) :]:
            host.wants_to_run = self.conditions.spares_run
        self.clients: Sequence[str] = [f"client-{number}" for number in range(self.conditions.clients)]
        self.history = History(self.scheduler)
        hosts = {host.id: host for host in self.hosts}
        processes = count()
        clients = [SimulatedClient(name, hosts, processes, self.history, setting) for name in self.clients]
        self._waiters: list[Waiter] = [waiter for client in clients for waiter in client.waiters]
        kept = options.faults_kept
        self.plan: list[PlannedFault] = [
            fault for fault in plan(seed, self.conditions) if kept is None or fault.number in kept
        ]
        self._active: dict[PlannedFault, Callable[[], None]] = {}
        self._undecided = False
        for host in self.hosts:
            self.network.attach(host.id, host)

    def run(self) -> None:
        """From the first start to the verdict. Raises `Violation`."""
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._live())
        finally:
            loop.close()

    async def _live(self) -> None:
        """Nothing here waits: what nodes promise to waiters needs a loop to belong to, no more."""
        try:
            self._run()
        except TooManyStepsError as error:
            raise Violation(PROGRESS, str(error), *(host.id for host in self.hosts)) from error

    def _run(self) -> None:
        for host in self.hosts:
            self.scheduler.after(0.0, host.start)
        for waiter in self._waiters:
            waiter.think()
        for fault in self.plan:
            self.scheduler.at(fault.begins, partial(self._inject, fault))
        self.scheduler.run_until(self.conditions.faulty_seconds)
        self._heal()
        self._require_progress()
        self._require_change()
        self._require_convergence()
        self._require_stability()
        self._read_everything()
        self._judge()

    # --- what faults must know ----------------------------------------------------------------------------------

    @property
    def leader(self) -> Host | None:
        """The machine whose node leads, of those that believe so the one with the newest term."""
        leaders = [host for host in self.hosts if host.is_leader]
        return max(leaders, key=lambda host: host.term, default=None)

    def ask(self, host: Host, change: Change) -> None:
        """Ask a node for a change of the members; one that is to be added runs from then on."""
        for newcomer in self.hosts:
            if isinstance(change, AddLearner) and newcomer.id == change.node_id:
                newcomer.wants_to_run = True
                newcomer.start()
        host.change_members(change)

    def may_lose_disk(self, host: Host) -> bool:
        """Whether the cluster can go on without what this machine's disk has promised, whatever it changes to next.

        A voter is lost until it votes again in its new incarnation. In every configuration that may come to count, a
        majority must be left; learners count as voters besides, for they may become some at any moment.
        """
        if not self.invariants.committed_index or any(other.has_requests for other in self.hosts):
            return False
        intact = {(other.id, other.incarnation) for other in self.hosts if other is not host}
        configurations = self.invariants.possible_configurations()
        if host.id not in {member.node_id for c in configurations for member in c.members}:
            return self.all_disks_are_known()
        for configuration in configurations:
            for group in filter(None, (configuration.voters, configuration.outgoing)):
                for electorate in (set(group), {*group, *configuration.learners}):
                    left = sum((member.node_id, member.incarnation) in intact for member in electorate)
                    if 2 * left <= len(electorate):
                        return False
        return True

    def all_disks_are_known(self) -> bool:
        """Whether every member of every configuration that may come to count still has the disk that it had."""
        intact = {(host.id, host.incarnation) for host in self.hosts}
        configurations = self.invariants.possible_configurations()
        return all((m.node_id, m.incarnation) in intact for c in configurations for m in c.members + c.outgoing)

    def schedule(self, delay: float, action: Callable[[], None]) -> None:
        """Do something in a while, as long as there are faults."""

        def act() -> None:
            if self.scheduler.now < self.conditions.faulty_seconds:
                action()

        self.scheduler.after(delay, act)

    # --- faults -------------------------------------------------------------------------------------------------

    def _inject(self, fault: PlannedFault) -> None:
        self.trace.record("world", "fault begins", str(fault))
        self._active[fault] = FAULTS[fault.name](self, Random(fault.seed))
        self.scheduler.after(fault.lasts, partial(self._end_fault, fault))

    def _end_fault(self, fault: PlannedFault) -> None:
        end = self._active.pop(fault, None)
        if end is not None:
            self.trace.record("world", "fault ends", str(fault))
            end()

    def _heal(self) -> None:
        """End every fault, and give everything what it needs to go on."""
        for fault in list(self._active):
            self._end_fault(fault)
        self.trace.record("world", "healed")
        self.network.heal(CALM)
        for host in self.hosts:
            host.heal(SYNC_SECONDS_CALM)

    # --- after the faults ---------------------------------------------------------------------------------------

    @property
    def _bound(self) -> float:
        return PROGRESS_ELECTION_TIMEOUTS * self.conditions.raft.election_timeout_max

    @property
    def _bound_of_changes(self) -> float:
        return CHANGE_ELECTION_TIMEOUTS * self.conditions.raft.election_timeout_max

    def _require_progress(self) -> None:
        """Every client succeeds; then no more is asked for."""
        wanted = [waiter.succeeded + OPERATIONS_AFTER_FAULTS for waiter in self._waiters]
        for waiter in self._waiters:
            waiter.hurry()

        def all_succeeded() -> bool:
            return all(waiter.succeeded >= n for waiter, n in zip(self._waiters, wanted, strict=True))

        if not self.scheduler.run_until(self.scheduler.now + self._bound, all_succeeded):
            waiting = [c.name for c, n in zip(self._waiters, wanted, strict=True) if c.succeeded < n]
            raise self._no_progress(
                f"{', '.join(waiting)} did not succeed {OPERATIONS_AFTER_FAULTS} times", self._bound
            )
        for waiter in self._waiters:
            waiter.working = False

    def _require_change(self) -> None:
        """What was begun ends, every member is who it is said to be, and one more change of the members succeeds."""
        deadline = self.scheduler.now + self._bound_of_changes
        if not self.scheduler.run_until(deadline, self._is_settled):
            raise self._no_progress("the members did not settle", self._bound_of_changes)
        change = self._last_change()
        if change is None:
            return
        before = self.invariants.configuration
        deadline = self.scheduler.now + self._bound_of_changes
        while self.invariants.configuration == before and self.scheduler.now < deadline:
            if self.leader is not None and not self.leader.has_requests:
                self.ask(self.leader, change)
            self.scheduler.run_until(self.scheduler.now + ASK_SECONDS, lambda: self.invariants.configuration != before)
        if self.invariants.configuration == before or not self.scheduler.run_until(deadline, self._is_settled):
            raise self._no_progress(f"{change} did not succeed", self._bound_of_changes)

    def _last_change(self) -> Change | None:
        """Add a machine that is outside, or take one out; None: there is but one."""
        configuration = self.invariants.configuration
        rng = Random(f"{self.seed} last change")
        outside = [host for host in self.hosts if configuration.member(host.id) is None]
        if outside:
            newcomer = rng.choice(outside).id
            return AddLearner(newcomer, address_of(newcomer), promote=True)
        return Remove(rng.choice(configuration.voters).node_id) if len(configuration.voters) > 1 else None

    def _is_settled(self) -> bool:
        """No change is under way, by itself or by order, and none is needed."""
        configuration = self.invariants.configuration
        if configuration.is_joint or configuration.to_promote or any(host.has_requests for host in self.hosts):
            return False
        leader = self.leader
        return (
            leader is not None
            and leader.node is not None
            and leader.node.raft.configuration == configuration
            and self.all_disks_are_known()
        )

    def _members(self) -> list[Host]:
        return [host for host in self.hosts if self.invariants.configuration.member(host.id)]

    def _require_convergence(self) -> None:
        """All members have applied the same."""
        if not self.scheduler.run_until(self.scheduler.now + self._bound, self._has_converged):
            applied = ", ".join(f"{host.id}: {host.applied_index}" for host in self.hosts)
            raise self._no_progress(
                f"not all that is committed ({self.invariants.committed_index}) is applied: {applied}", self._bound
            )

    def _no_progress(self, what: str, bound: float) -> Violation:
        message = f"{what} within {bound:.1f} s of calm"
        return Violation(PROGRESS, message, *(host.id for host in self.hosts))

    def _has_converged(self) -> bool:
        committed = self.invariants.committed_index
        return all(host.applied_index == committed for host in self._members()) and not any(
            waiter.operation for waiter in self._waiters
        )

    def _require_stability(self) -> None:
        """Nobody disturbs a leader that every member hears, least of all who is not one."""
        members = self._members()
        leaders_before = [host.term for host in members]
        self.scheduler.run_until(
            self.scheduler.now + STABLE_ELECTION_TIMEOUTS * self.conditions.raft.election_timeout_max
        )
        terms = [host.term for host in members]
        if terms != leaders_before:
            raise Violation(
                STABILITY, f"terms went from {leaders_before} to {terms}", *(host.id for host in self.hosts)
            )

    def _read_everything(self) -> None:
        """The last word of the history: what every key holds in the end."""
        reader = self._waiters[0]
        for number in range(self.conditions.keys):
            reader.begin("read", f"key-{number}")
            if not self.scheduler.run_until(self.scheduler.now + self._bound, lambda: reader.operation is None):
                raise self._no_progress(f"the last read of key-{number} was not answered", self._bound)

    def _judge(self) -> None:
        finding = check_history(self.history.operations, search_states_max=SEARCH_STATES_MAX)
        self._undecided = finding.verdict is Verdict.UNKNOWN
        for key in finding.keys:
            if key.verdict is Verdict.VIOLATION:
                raise Violation(LINEARIZABILITY, str(key))

    # --- reports ------------------------------------------------------------------------------------------------

    def describe(self, violation: Violation) -> Failure:
        """What happened, for people."""
        nodes = violation.nodes or tuple(host.id for host in self.hosts)
        return Failure(
            violation.invariant,
            violation.what,
            self.scheduler.steps,
            self.scheduler.now,
            self.trace.last_events("world", *dict.fromkeys(nodes)),
            [str(fault) for fault in self.plan if fault.begins <= self.scheduler.now],
        )

    def result(self, failure: Failure | None, wall_seconds: float) -> Result:
        """All that is to be said of the run."""
        operations = self.history.operations
        return Result(
            self.seed,
            failure,
            self.trace.digest(),
            self.scheduler.steps,
            self.scheduler.now,
            wall_seconds,
            len(operations),
            sum(waiter.succeeded for waiter in self._waiters),
            self.invariants.leaders,
            self.invariants.committed_index,
            len(self.plan),
            self._undecided,
            [fault.number for fault in self.plan],
            self.trace.counts,
        )
