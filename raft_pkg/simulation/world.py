"""One run: machines, network, clients, faults and invariants, from a seed to a verdict.

First a phase of faults. Then everything is healed, and within a bound of virtual time every client must succeed, all
nodes must have applied the same, and the leader must keep its office. In the end the history is judged.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random
from typing import TextIO

from raft_pkg.check.linearizability import Verdict, check_history
from raft_pkg.core.membership import AddLearner, Change, Promote, Remove
from raft_pkg.simulation.clients import History, SimulatedClient
from raft_pkg.simulation.conditions import CALM, SYNC_SECONDS_CALM, Conditions, Options, draw
from raft_pkg.simulation.faults import FAULTS, PlannedFault, plan
from raft_pkg.simulation.host import Host
from raft_pkg.simulation.invariants import LINEARIZABILITY, PROGRESS, STABILITY, Invariants, Violation
from raft_pkg.simulation.network import SimulatedNetwork
from raft_pkg.simulation.scheduler import Scheduler, TooManyStepsError
from raft_pkg.simulation.setting import Setting
from raft_pkg.simulation.trace import Trace

PROGRESS_ELECTION_TIMEOUTS = 20
"""Within so many of the longest election time-outs after all is healed, the cluster must have caught up."""
STABLE_ELECTION_TIMEOUTS = 4
"""For so many of the longest election time-outs after that, the leader must keep its office."""
OPERATIONS_AFTER_FAULTS = 2
"""Each client must succeed so often after all is healed."""
CONFIGURATIONS_MAX = 2_000_000
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
        self.invariants = Invariants()
        ids = [f"raft-{number}" for number in range(options.nodes)]
        addresses = {node_id: f"{node_id}:6000" for node_id in ids}
        spares = [f"spare-{number}" for number in range(self.conditions.spares)]
        setting = Setting(seed, self.conditions, self.scheduler, self.network, self.invariants, self.trace)
        self.hosts: Sequence[Host] = [Host(node_id, addresses, setting) for node_id in ids] + [
            Host(spare, {**addresses, spare: f"{spare}:6000"}, setting) for spare in spares
        ]
        self.clients: Sequence[str] = [f"client-{number}" for number in range(self.conditions.clients)]
        self.history = History(self.scheduler)
        hosts = {host.id: host for host in self.hosts}
        processes = count()
        self._clients = [SimulatedClient(name, hosts, processes, self.history, setting) for name in self.clients]
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
        try:
            self._run()
        except TooManyStepsError as error:
            raise Violation(PROGRESS, str(error), *(host.id for host in self.hosts)) from error

    def _run(self) -> None:
        for host in self.hosts:
            self.scheduler.after(0.0, host.start)
        for client in self._clients:
            client.think()
        for fault in self.plan:
            self.scheduler.at(fault.begins, partial(self._inject, fault))
        self.scheduler.run_until(self.conditions.faulty_seconds)
        self._heal()
        self._require_progress()
        self._require_stability()
        self._read_everything()
        self._judge()

    def may_lose_disk(self, host: Host) -> bool:
        """Whether every configuration that may come to count still has majorities without this machine's promises."""
        configurations = [h.node.raft.configuration for h in self.hosts if h.node is not None]
        if self.invariants.committed_index == 0 or any(h.node is None for h in self.hosts):
            return False
        alive = {(h.id, h.incarnation) for h in self.hosts if h is not host}
        groups = [group for c in configurations for group in (c.voters, c.outgoing) if group]
        return all(2 * sum((m.node_id, m.incarnation) in alive for m in group) > len(group) for group in groups)

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

    def _require_progress(self) -> None:
        """Every client succeeds, then all nodes have applied the same."""
        wanted = [client.succeeded + OPERATIONS_AFTER_FAULTS for client in self._clients]
        deadline = self.scheduler.now + self._bound

        def all_succeeded() -> bool:
            return all(client.succeeded >= n for client, n in zip(self._clients, wanted, strict=True))

        if not self.scheduler.run_until(deadline, all_succeeded):
            waiting = [c.name for c, n in zip(self._clients, wanted, strict=True) if c.succeeded < n]
            raise self._no_progress(f"{', '.join(waiting)} did not succeed {OPERATIONS_AFTER_FAULTS} times")
        self._require_change(deadline)
        for client in self._clients:
            client.working = False
        if not self.scheduler.run_until(deadline, self._has_converged):
            applied = ", ".join(f"{host.id}: {host.applied_index}" for host in self.hosts)
            raise self._no_progress(
                f"not all that is committed ({self.invariants.committed_index}) is applied: {applied}"
            )

    def _require_change(self, deadline: float) -> None:
        """One more change of the members comes to its end: add one that is outside, or take one out."""
        wanted: list[Change] = []

        def is_done() -> bool:
            leader = next((h for h in self.hosts if h.is_leader and h.node is not None), None)
            if leader is None or leader.node is None:
                return False
            configuration = leader.node.raft.configuration
            inside = {member.node_id for member in configuration.members}
            if not wanted:
                outside = [h.id for h in self.hosts if h.id not in inside]
                learners = [member.node_id for member in configuration.learners]
                change: Change | None = None
                if learners:
                    change = Promote(learners[0])
                elif outside:
                    change = AddLearner(outside[0], f"{outside[0]}:6000", promote=True)
                elif len(configuration.voters) > 1:
                    change = Remove(next(v.node_id for v in configuration.voters))
                if change is None:
                    return True
                if leader.change_members(change):
                    wanted.append(change)
                return False
            settled = leader.node.raft.configuration_index <= leader.node.raft.commit_index
            return settled and not configuration.is_joint and not configuration.to_promote

        if not self.scheduler.run_until(deadline, is_done):
            raise self._no_progress(f"no change of the members came to its end ({wanted or 'none began'})")

    def _members(self) -> Sequence[Host]:
        """The hosts of the configuration that was committed last."""
        inside = {(m.node_id, m.incarnation) for m in self.invariants.configuration.members}
        return [host for host in self.hosts if (host.id, host.incarnation) in inside]

    def _no_progress(self, what: str) -> Violation:
        message = f"{what} within {self._bound:.1f} s after all was healed"
        return Violation(PROGRESS, message, *(host.id for host in self.hosts))

    def _has_converged(self) -> bool:
        committed = self.invariants.committed_index
        return all(host.applied_index == committed for host in self._members()) and not any(
            client.operation for client in self._clients
        )

    def _require_stability(self) -> None:
        """Nobody disturbs a leader that everybody hears, those that were removed included."""
        members = self._members()
        terms_before = [host.term for host in members]
        self.scheduler.run_until(
            self.scheduler.now + STABLE_ELECTION_TIMEOUTS * self.conditions.raft.election_timeout_max
        )
        terms = [host.term for host in members]
        if terms != terms_before:
            raise Violation(STABILITY, f"terms went from {terms_before} to {terms}", *(host.id for host in self.hosts))

    def _read_everything(self) -> None:
        """The last word of the history: what every key holds in the end."""
        reader = self._clients[0]
        for number in range(self.conditions.keys):
            reader.begin("read", f"key-{number}")
            if not self.scheduler.run_until(self.scheduler.now + self._bound, lambda: reader.operation is None):
                raise self._no_progress(f"the last read of key-{number} was not answered")

    def _judge(self) -> None:
        report = check_history(self.history.operations, configurations_max=CONFIGURATIONS_MAX)
        self._undecided = report.verdict is Verdict.UNKNOWN
        for key in report.keys:
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
            sum(client.succeeded for client in self._clients),
            self.invariants.leaders,
            self.invariants.committed_index,
            len(self.plan),
            self._undecided,
            [fault.number for fault in self.plan],
        )
