"""One run of a simulated cluster: machines, network, clients, faults and checks, from a seed to a result.

After the phase with faults comes the quiescent phase. Within bounds of simulated time, every client must succeed,
pending membership changes must complete, another one must succeed, and all members must have applied the same entries.
Then the leader must remain leader. Last, the history of the clients' operations is checked for linearizability.
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
from raft_testbed.simulation.clients import History, SimulatedClient, Worker
from raft_testbed.simulation.context import SimulationContext
from raft_testbed.simulation.faults import FAULTS
from raft_testbed.simulation.machine import Machine, address_of
from raft_testbed.simulation.network import SimulatedNetwork
from raft_testbed.simulation.parameters import (
    QUIESCENT_NETWORK,
    QUIESCENT_SYNC_SECONDS_MAX,
    Options,
    Parameters,
    draw_parameters,
)
from raft_testbed.simulation.safety import SafetyChecker, Violation
from raft_testbed.simulation.schedule import ScheduledFault, draw_schedule
from raft_testbed.simulation.scheduler import Scheduler, TooManyStepsError
from raft_testbed.simulation.sessions import SessionModel
from raft_testbed.simulation.trace import Trace

LINEARIZABILITY = "Linearizability"
PROGRESS = "Progress"
STABLE_LEADER = "Stable Leader"

PROGRESS_ELECTION_TIMEOUTS = 20
"""Bound on the time for clients and convergence in the quiescent phase, in longest election time-outs."""
CHANGE_ELECTION_TIMEOUTS = 40
"""Bound on the time for membership changes; a leader waits for a new learner for half of it."""
CHANGE_RETRY_SECONDS = 0.05
"""Time between requests for a membership change that was refused."""
STABLE_ELECTION_TIMEOUTS = 4
"""Time for which the leader must remain leader, in longest election time-outs."""
OPERATIONS_AFTER_FAULTS = 2
"""Number of operations with which each worker must succeed in the quiescent phase."""
SEARCH_STATES_MAX = 500_000
"""Limit of the linearizability checker; a run that reaches it is undecided, not a violation."""


@dataclass(slots=True)
class Failure:
    """A violation, with its context for the investigation."""

    invariant: str
    what: str
    step: int
    at_seconds: float
    last_events: list[str]
    faults: list[str]


@dataclass(slots=True)
class Result:
    """The result of one run."""

    seed: int
    failure: Failure | None
    trace_hash: str
    steps: int
    simulated_seconds: float
    wall_seconds: float
    operations: int
    succeeded: int
    leaders: int
    """Number of terms that had a leader."""
    committed: int
    faults: int
    undecided: bool = False
    """Whether the linearizability checker reached its limit."""
    fault_numbers: list[int] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Number of rare events by name."""


def run(seed: int, options: Options, trace_stream: TextIO | None = None) -> Result:
    """Run one seed. The same seed and options give the same result, apart from the wall-clock time."""
    began = time.perf_counter()
    cluster = SimulatedCluster(seed, options, trace_stream)
    failure = None
    try:
        cluster.run()
    except Violation as violation:
        failure = cluster.describe(violation)
    return cluster.result(failure, time.perf_counter() - began)


class SimulatedCluster:
    """All parts of one run."""

    def __init__(self, seed: int, options: Options, trace_stream: TextIO | None = None) -> None:
        self.seed = seed
        self.parameters: Parameters = draw_parameters(seed)
        self.scheduler = Scheduler()
        self.trace = Trace(self.scheduler, trace_stream)
        self.network = SimulatedNetwork(self.scheduler, self.trace, Random(f"{seed} network"), self.parameters.network)
        self.checker = SafetyChecker(SessionModel().effects_of)
        ids = [f"raft-{number}" for number in range(options.nodes)]
        spares = [f"spare-{number}" for number in range(self.parameters.spares)]
        addresses = {node_id: address_of(node_id) for node_id in ids}
        context = SimulationContext(seed, self.parameters, self.scheduler, self.network, self.checker, self.trace)
        self.machines: Sequence[Machine] = [
            *(Machine(node_id, addresses, context) for node_id in ids),
            *(Machine(node_id, {**addresses, node_id: address_of(node_id)}, context) for node_id in spares),
        ]
        for machine in self.machines[len(ids) :]:
            machine.wants_to_run = self.parameters.spares_run
        self.clients: Sequence[str] = [f"client-{number}" for number in range(self.parameters.clients)]
        self.history = History(self.scheduler)
        machines = {machine.id: machine for machine in self.machines}
        processes = count()
        clients = [SimulatedClient(name, machines, processes, self.history, context) for name in self.clients]
        self._workers: list[Worker] = [worker for client in clients for worker in client.workers]
        kept = options.faults_kept
        self.schedule: list[ScheduledFault] = [
            fault for fault in draw_schedule(seed, self.parameters) if kept is None or fault.number in kept
        ]
        self._active: dict[ScheduledFault, Callable[[], None]] = {}
        self._undecided = False
        for machine in self.machines:
            self.network.attach(machine.id, machine)

    def run(self) -> None:
        """Run the simulation. Raise `Violation`."""
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._run_in_loop())
        finally:
            loop.close()

    async def _run_in_loop(self) -> None:
        """Run the simulation, which never awaits: the nodes' futures need a running event loop."""
        try:
            self._run()
        except TooManyStepsError as error:
            raise Violation(PROGRESS, str(error), *(machine.id for machine in self.machines)) from error

    def _run(self) -> None:
        for machine in self.machines:
            self.scheduler.after(0.0, machine.start)
        for worker in self._workers:
            worker.think()
        for fault in self.schedule:
            self.scheduler.at(fault.begins, partial(self._inject, fault))
        self.scheduler.run_until(self.parameters.faulty_seconds)
        self._heal()
        self._require_progress()
        self._require_change()
        self._require_convergence()
        self._require_stable_leader()
        self._read_all_keys()
        self._check_history()

    # --- interface to faults ------------------------------------------------------------------------------------------

    @property
    def leader(self) -> Machine | None:
        """The machine whose node leads in the newest term, if any node leads."""
        leaders = [machine for machine in self.machines if machine.is_leader]
        return max(leaders, key=lambda machine: machine.term, default=None)

    def request_change(self, machine: Machine, change: Change) -> None:
        """Request a membership change from a node; start the machine that it adds."""
        for newcomer in self.machines:
            if isinstance(change, AddLearner) and newcomer.id == change.node_id:
                newcomer.wants_to_run = True
                newcomer.start()
        machine.change_members(change)

    def may_lose_disk(self, machine: Machine) -> bool:
        """Return whether every possible configuration keeps a majority of disks without this machine's.

        A voter counts as lost until it votes in its new incarnation. Learners count as voters besides, because they may
        become voters at any time.
        """
        if not self.checker.commits.last_index or any(other.has_admin_requests for other in self.machines):
            return False
        intact = {(other.id, other.incarnation) for other in self.machines if other is not machine}
        configurations = self.checker.possible_configurations()
        if machine.id not in {member.node_id for c in configurations for member in c.members}:
            return self.all_disks_are_known()
        for configuration in configurations:
            for group in filter(None, (configuration.voters, configuration.outgoing)):
                for electorate in (set(group), {*group, *configuration.learners}):
                    left = sum((member.node_id, member.incarnation) in intact for member in electorate)
                    if 2 * left <= len(electorate):
                        return False
        return True

    def all_disks_are_known(self) -> bool:
        """Return whether every member of every possible configuration still has its disk."""
        intact = {(machine.id, machine.incarnation) for machine in self.machines}
        configurations = self.checker.possible_configurations()
        return all((m.node_id, m.incarnation) in intact for c in configurations for m in c.members + c.outgoing)

    def after(self, delay: float, action: Callable[[], None]) -> None:
        """Run `action` in `delay` seconds, unless the phase with faults is over by then."""

        def act() -> None:
            if self.scheduler.now < self.parameters.faulty_seconds:
                action()

        self.scheduler.after(delay, act)

    # --- faults -------------------------------------------------------------------------------------------------------

    def _inject(self, fault: ScheduledFault) -> None:
        self.trace.record("cluster", "fault begins", str(fault))
        self._active[fault] = FAULTS[fault.name](self, Random(fault.seed))
        self.scheduler.after(fault.lasts, partial(self._end_fault, fault))

    def _end_fault(self, fault: ScheduledFault) -> None:
        revert = self._active.pop(fault, None)
        if revert is not None:
            self.trace.record("cluster", "fault ends", str(fault))
            revert()

    def _heal(self) -> None:
        """End all faults and begin the quiescent phase."""
        for fault in list(self._active):
            self._end_fault(fault)
        self.trace.record("cluster", "healed")
        self.network.heal(QUIESCENT_NETWORK)
        for machine in self.machines:
            machine.heal(QUIESCENT_SYNC_SECONDS_MAX)

    # --- quiescent phase ----------------------------------------------------------------------------------------------

    @property
    def _progress_seconds_max(self) -> float:
        return PROGRESS_ELECTION_TIMEOUTS * self.parameters.raft.election_timeout_max

    @property
    def _change_seconds_max(self) -> float:
        return CHANGE_ELECTION_TIMEOUTS * self.parameters.raft.election_timeout_max

    def _require_progress(self) -> None:
        """Require that every worker succeeds; then stop the workers."""
        expected = [worker.succeeded + OPERATIONS_AFTER_FAULTS for worker in self._workers]
        for worker in self._workers:
            worker.hurry()

        def all_succeeded() -> bool:
            return all(worker.succeeded >= n for worker, n in zip(self._workers, expected, strict=True))

        if not self.scheduler.run_until(self.scheduler.now + self._progress_seconds_max, all_succeeded):
            waiting = [w.name for w, n in zip(self._workers, expected, strict=True) if w.succeeded < n]
            raise self._no_progress(
                f"{', '.join(waiting)} did not succeed {OPERATIONS_AFTER_FAULTS} times", self._progress_seconds_max
            )
        for worker in self._workers:
            worker.working = False

    def _require_change(self) -> None:
        """Require that pending membership changes complete, and that another one succeeds."""
        deadline = self.scheduler.now + self._change_seconds_max
        if not self.scheduler.run_until(deadline, self._membership_is_stable):
            raise self._no_progress("membership changes did not complete", self._change_seconds_max)
        change = self._last_change()
        if change is None:
            return
        before = self.checker.commits.configuration
        deadline = self.scheduler.now + self._change_seconds_max

        def has_changed() -> bool:
            return self.checker.commits.configuration != before

        while not has_changed() and self.scheduler.now < deadline:
            if self.leader is not None and not self.leader.has_admin_requests:
                self.request_change(self.leader, change)
            self.scheduler.run_until(self.scheduler.now + CHANGE_RETRY_SECONDS, has_changed)
        if not has_changed() or not self.scheduler.run_until(deadline, self._membership_is_stable):
            raise self._no_progress(f"{change} did not succeed", self._change_seconds_max)

    def _last_change(self) -> Change | None:
        """Return a change that adds a machine outside the cluster, or removes a voter unless it is the only one."""
        configuration = self.checker.commits.configuration
        rng = Random(f"{self.seed} last change")
        outside = [machine for machine in self.machines if configuration.member(machine.id) is None]
        if outside:
            newcomer = rng.choice(outside).id
            return AddLearner(newcomer, address_of(newcomer), promote=True)
        return Remove(rng.choice(configuration.voters).node_id) if len(configuration.voters) > 1 else None

    def _membership_is_stable(self) -> bool:
        """Return whether no membership change is pending, requested or automatic."""
        configuration = self.checker.commits.configuration
        if configuration.is_joint or configuration.to_promote:
            return False
        if any(machine.has_admin_requests for machine in self.machines):
            return False
        leader = self.leader
        return (
            leader is not None
            and leader.node is not None
            and leader.node.raft.configuration == configuration
            and self.all_disks_are_known()
        )

    def _members(self) -> list[Machine]:
        return [machine for machine in self.machines if self.checker.commits.configuration.member(machine.id)]

    def _require_convergence(self) -> None:
        """Require that all members apply all committed entries."""
        if not self.scheduler.run_until(self.scheduler.now + self._progress_seconds_max, self._has_converged):
            applied = ", ".join(f"{machine.id}: {machine.applied_index}" for machine in self.machines)
            raise self._no_progress(
                f"not all members have applied index {self.checker.commits.last_index}: {applied}",
                self._progress_seconds_max,
            )

    def _has_converged(self) -> bool:
        committed = self.checker.commits.last_index
        return all(machine.applied_index == committed for machine in self._members()) and not any(
            worker.operation for worker in self._workers
        )

    def _require_stable_leader(self) -> None:
        """Require that no node disturbs a leader that reaches every member, in particular no removed node."""
        members = self._members()
        terms_before = [machine.term for machine in members]
        self.scheduler.run_until(
            self.scheduler.now + STABLE_ELECTION_TIMEOUTS * self.parameters.raft.election_timeout_max
        )
        terms = [machine.term for machine in members]
        if terms != terms_before:
            raise Violation(
                STABLE_LEADER,
                f"terms went from {terms_before} to {terms}",
                *(machine.id for machine in self.machines),
            )

    def _read_all_keys(self) -> None:
        """Read every key, so that the history includes the final values."""
        reader = self._workers[0]
        for number in range(self.parameters.keys):
            reader.begin("read", f"key-{number}")
            deadline = self.scheduler.now + self._progress_seconds_max
            if not self.scheduler.run_until(deadline, lambda: reader.operation is None):
                raise self._no_progress(f"the final read of key-{number} did not succeed", self._progress_seconds_max)

    def _check_history(self) -> None:
        finding = check_history(self.history.operations, search_states_max=SEARCH_STATES_MAX)
        self._undecided = finding.verdict is Verdict.UNKNOWN
        for key in finding.keys:
            if key.verdict is Verdict.VIOLATION:
                raise Violation(LINEARIZABILITY, str(key))

    def _no_progress(self, what: str, seconds_max: float) -> Violation:
        message = f"{what} within {seconds_max:.1f} s of the quiescent phase"
        return Violation(PROGRESS, message, *(machine.id for machine in self.machines))

    # --- reports ------------------------------------------------------------------------------------------------------

    def describe(self, violation: Violation) -> Failure:
        """Return a violation with the newest events of the nodes involved, and the faults so far."""
        nodes = violation.nodes or tuple(machine.id for machine in self.machines)
        return Failure(
            violation.invariant,
            violation.what,
            self.scheduler.steps,
            self.scheduler.now,
            self.trace.last_events("cluster", *dict.fromkeys(nodes)),
            [str(fault) for fault in self.schedule if fault.begins <= self.scheduler.now],
        )

    def result(self, failure: Failure | None, wall_seconds: float) -> Result:
        """Return the result of the run."""
        operations = self.history.operations
        return Result(
            self.seed,
            failure,
            self.trace.digest(),
            self.scheduler.steps,
            self.scheduler.now,
            wall_seconds,
            len(operations),
            sum(worker.succeeded for worker in self._workers),
            self.checker.elections.leader_count,
            self.checker.commits.last_index,
            len(self.schedule),
            self._undecided,
            [fault.number for fault in self.schedule],
            self.trace.counts,
        )
