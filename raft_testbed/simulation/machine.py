"""A machine: its disk, its clocks, and the node that runs on it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any

from raft_pkg.core.errors import InvariantError
from raft_pkg.core.membership import Change
from raft_pkg.core.messages import Message
from raft_pkg.errors import StorageError
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.server.config import ServerConfig
from raft_pkg.server.node import Node
from raft_pkg.storage import FileStorage
from raft_testbed.simulation.behaviour import BehaviourChecker
from raft_testbed.simulation.context import SimulationContext
from raft_testbed.simulation.disk import FaultyDisk, SimulatedCrash
from raft_testbed.simulation.probes import CheckedStateMachine, CheckedStorage, TracedEventLog
from raft_testbed.simulation.safety import Observation, Violation
from raft_testbed.simulation.safety.violation import ELECTION_SAFETY, LEADER_COMPLETENESS
from raft_testbed.simulation.trace import describe

UNEXPECTED_FAILURE = "Nodes Fail Only With Their Disks"
DATA_DIR = Path("/data")
PREALLOCATION_BYTES = 4096
CLOCK_RESOLUTION = 1e-6
"""Added to timers, so that rounding never lets one fire early."""
RESTART_SECONDS = 0.01
"""Time before the next attempt to start a node that failed to start."""
BUSY_SECONDS = 0.0001
"""Time before the next iteration of a node that has more work."""
WALL_CLOCK_START = 1_700_000_000.0
"""Wall-clock time of the start of the run, in seconds since 1970."""


class Termination(Enum):
    """How the process of a node ends."""

    KILLED = "killed"
    """The process ends; the page cache survives."""
    POWER_LOST = "power lost"
    """The machine loses power; any subset of the unsynced writes survives."""
    STOPPED = "stopped"
    """The process closes its storage and exits."""


class PendingRequest:
    """A client's request that a node has not completed. Plays the server's waiter."""

    def complete(self, outcome: pb.Outcome) -> None:
        """Take the outcome from the node."""
        raise NotImplementedError

    def flush(self) -> None:
        """Take note that the iteration has ended."""

    def node_ended(self) -> None:
        """Take note that the node ended before it completed the request."""
        raise NotImplementedError


class Machine:
    """A machine of the cluster, which outlives the processes of its node. It is the node's transport."""

    def __init__(self, node_id: str, addresses: dict[str, str], context: SimulationContext) -> None:
        self.id = node_id
        self.node: Node | None = None
        self.paused = False
        self.sync_seconds_max = context.parameters.sync_seconds_max
        self.repair_disk: Callable[[], None] | None = None
        """Repairs a damaged disk, on which a node may refuse to start. None: the disk is not damaged."""
        self.wants_to_run = True
        """Whether the node is started again after it has ended."""
        self._addresses = addresses
        self._seed = context.seed
        self._parameters = context.parameters
        self._scheduler = context.scheduler
        self._network = context.network
        self._checker = context.checker
        self._trace = context.trace
        self._rng = Random(f"{context.seed} {node_id}")
        self.disk = FaultyDisk(self._rng, self._take_time_to_sync)
        self.incarnation = 0
        """Incarnation on the present disk; 0 if the disk has never been used."""
        self._state_machine = CheckedStateMachine(node_id, context.checker, context.parameters.snapshot_step_bytes)
        self._incarnations = Random(f"{context.seed} {node_id} incarnations")
        self._process = 0
        self._ended_at: dict[int, float] = {}
        """When each former process ended."""
        self._clock_rate = 1.0
        self._clock_offset = self._rng.uniform(0, 1000)
        self._wall_clock_offset = WALL_CLOCK_START + self._rng.uniform(0, context.parameters.wall_clock_skew)
        self._busy_for = 0.0
        """How long the current iteration has taken so far."""
        self._busy_until = 0.0
        self._wake_at: float | None = None
        self._pending: dict[PendingRequest, None] = {}
        self._acknowledgements: list[tuple[bytes, int]] = []
        self._storage: FileStorage | None = None
        self._checked_storage: CheckedStorage | None = None
        self._peers: Mapping[str, str] = {}
        self._remotes: dict[str, str] = {}
        """Addresses of nodes that are not peers and have sent a message."""
        self._admin_requests: list[tuple[str, asyncio.Future[Any]]] = []
        """Pending membership changes and transfers."""
        self._behaviour: BehaviourChecker | None = None

    # --- clocks -------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Simulated time, including the time that the current iteration has taken."""
        return self._scheduler.now + self._busy_for

    def clock(self) -> float:
        """Return the time of this machine's monotonic clock, in seconds."""
        return self._clock_offset + self._clock_rate * self.now

    def wall_clock(self) -> float:
        """Return the time of this machine's wall clock, in seconds since 1970."""
        return self._wall_clock_offset + self.now

    def skew_clock(self, rate: float) -> None:
        """Let the monotonic clock run at `rate` from now on."""
        self._clock_offset = self.clock() - rate * self.now
        self._clock_rate = rate
        self._wake_for_timeout()

    def _take_time_to_sync(self) -> None:
        self._busy_for += self._rng.random() * self.sync_seconds_max

    # --- processes ----------------------------------------------------------------------------------------------------

    @property
    def process(self) -> int:
        """Number of the node's current process."""
        return self._process

    def was_running(self, process: int, time: float) -> bool:
        """Return whether a process of the node ran at `time`; a process that ended earlier sent nothing then."""
        return self._ended_at.get(process, time) >= time

    def start(self) -> None:
        """Start a node from the disk, unless one is running."""
        if self.node is not None or not self.wants_to_run:
            return
        self.disk.boot()
        self._process += 1
        self._busy_for = 0.0
        self._busy_until = 0.0
        storage = FileStorage(
            DATA_DIR,
            self.id,
            segment_bytes=self._parameters.segment_bytes,
            preallocation_bytes=PREALLOCATION_BYTES,
            filesystem=self.disk,
            new_incarnation=lambda: self._incarnations.randrange(1, 1 << 31),
        )
        try:
            self.node = self._build_node(storage)
        except StorageError as error:
            self._start_refused(error)
        except SimulatedCrash:
            self._start_again("crashed while starting")
        else:
            self.repair_disk = None
            self._storage = storage
            self._trace.record(self.id, "started", f"process {self._process}")
            self._wake_for_timeout()

    def _build_node(self, storage: FileStorage) -> Node:
        parameters = self._parameters
        config = ServerConfig(
            self.id,
            "0.0.0.0:6000",
            self._addresses,
            DATA_DIR,
            snapshot_entries=parameters.snapshot_entries,
            snapshot_bytes=parameters.snapshot_bytes,
            snapshot_step_bytes=parameters.snapshot_step_bytes,
            session_ttl=parameters.session_ttl,
        )
        object.__setattr__(config, "raft", parameters.raft)  # its limits cannot be configured
        self._state_machine = CheckedStateMachine(self.id, self._checker, parameters.snapshot_step_bytes)
        self._peers, self._remotes = {}, {}
        checked_storage = self._checked_storage = CheckedStorage(self.id, storage, self._checker)
        node = Node(
            config,
            checked_storage,
            self._state_machine,
            self,
            TracedEventLog(self.id, self._trace),
            random=Random(f"{self._seed} {self.id} {self._process}"),
            clock=self.clock,
            wall_clock=self.wall_clock,
        )
        self.incarnation = node.raft.incarnation
        self._behaviour = BehaviourChecker(node.raft, parameters.raft)
        return node

    def _start_refused(self, error: StorageError) -> None:
        if self.repair_disk is not None:
            self.repair_disk()
            self.repair_disk = None
        elif not self.disk.has_failed:
            raise Violation(UNEXPECTED_FAILURE, f"{self.id} does not start: {error}", self.id) from error
        self._start_again(f"refused to start: {error}")

    def _start_again(self, why: str) -> None:
        self._trace.record(self.id, "not started", why)
        self.disk.stop(power_lost=True)
        self._scheduler.after(RESTART_SECONDS, self.start)

    def end(self, termination: Termination) -> None:
        """End the node's process now, even within an iteration."""
        if self.node is None:
            return
        self._observe()
        self._trace.record(self.id, "ended", termination.value)
        self._ended_at[self._process] = self.now
        if termination is Termination.STOPPED and self._storage is not None:
            with suppress(SimulatedCrash, StorageError):
                self._storage.close()
        self.node = None
        self.paused = False
        self._admin_requests.clear()
        self.disk.stop(power_lost=termination is Termination.POWER_LOST)
        if termination is not Termination.POWER_LOST:  # only a running machine refuses connections
            self._network.report_unreachable(self.id, self._network.names, self.now)
        pending, self._pending = self._pending, {}
        for request in pending:
            request.node_ended()

    def lose_disk(self) -> None:
        """End the node's process and replace the disk by an empty one, on which a new incarnation starts."""
        self.end(Termination.POWER_LOST)
        self.disk = FaultyDisk(self._rng, self._take_time_to_sync)
        self.repair_disk = None
        self.incarnation = 0
        self._checker.disk_lost(self.id)
        self._trace.record_rare(self.id, "disk_lost")

    def pause(self) -> None:
        """Suspend the process; what is sent to it waits."""
        self.paused = self.node is not None

    def resume(self) -> None:
        """Let a suspended process continue."""
        self.paused = False
        self._schedule_iteration()

    def heal(self, sync_seconds_max: float) -> None:
        """End all faults of this machine, including pending syncs of a slow disk, and start the node."""
        self._busy_until = min(self._busy_until, self._scheduler.now)
        self.disk.heal()
        self.disk.crash_after(None)
        self.sync_seconds_max = sync_seconds_max
        self.skew_clock(1.0)
        if self.paused:
            self.resume()
        self.start()

    # --- messages and requests ----------------------------------------------------------------------------------------

    @property
    def behaviour(self) -> BehaviourChecker:
        """The behaviour checks of the node's current process."""
        assert self._behaviour is not None
        return self._behaviour

    def deliver(self, message: Message) -> None:
        """Give a peer's message to the node."""
        if self.node is None:
            return
        self._trace.record(self.id, "received", describe(message))
        self.behaviour.message_received(message)
        self.node.deliver([message], address_of(message.sender))
        self._schedule_iteration()

    def peer_unreachable(self, peer: str) -> None:
        """Report to the node that a peer's process has ended."""
        if self.node is None:
            return
        self._trace.record(self.id, "peer_unreachable", peer)
        self.behaviour.peer_unreachable(peer)
        self.node.peer_unreachable(peer)
        self._schedule_iteration()

    def submit(self, pending: PendingRequest, request: pb.Request, session_id: int, acknowledged: int) -> bool:
        """Give a client's request to the node. Return False if no node is running. `session_id` 0: no session."""
        if self.node is None:
            return False
        self._pending[pending] = None
        self.node.submit(pending, [request], session_id=session_id, acknowledged=acknowledged)
        self._schedule_iteration()
        return True

    def forget(self, pending: PendingRequest) -> None:
        """Stop to report the end of the node to a request."""
        self._pending.pop(pending, None)

    def write_acknowledged(self, command: bytes, index: int) -> None:
        """Take note that the node acknowledges a command in this iteration, to check it at the end of the iteration."""
        self._acknowledgements.append((command, index))

    def read_served(self, round_before: int) -> None:
        """Check a read that arrived when `round_before` was the node's newest heartbeat round."""
        assert self.node is not None
        self.behaviour.read_served(round_before, self.node.raft, self.node.last_iteration_at)

    def update_peers(self, addresses: Mapping[str, str]) -> None:
        """See `Transport.update_peers`."""
        self._peers = addresses
        for node_id in addresses:
            self._remotes.pop(node_id, None)

    def add_remote(self, node_id: str, address: str) -> None:
        """See `Transport.add_remote`."""
        if node_id not in self._peers:
            self._remotes[node_id] = address

    def send(self, messages: Sequence[Message]) -> None:
        """See `Transport.send`."""
        process = self._process
        departure = self.now
        assert self.node is not None
        for message in messages:
            self._checker.message_sent(message)
            self.behaviour.message_sent(message, self.node.raft, self.node.last_iteration_at)
            address = self._peers.get(message.recipient) or self._remotes.get(message.recipient)
            if address is not None:
                self._network.send(
                    message, machine_at(address), departure, lambda: self.was_running(process, departure)
                )

    # --- administration -----------------------------------------------------------------------------------------------

    def transfer(self, target: str) -> None:
        """Request a transfer of leadership from the node."""
        if self.node is not None and not self.paused:
            self._admin_requests.append((f"transfer to {target}", self.node.transfer_leadership(target)))
            self._schedule_iteration()

    def change_members(self, change: Change) -> None:
        """Request a membership change from the node."""
        if self.node is not None and not self.paused:
            self._admin_requests.append((str(change), self.node.change_members(change)))
            self._schedule_iteration()

    @property
    def has_admin_requests(self) -> bool:
        """Whether membership changes or transfers are pending at the node."""
        return bool(self._admin_requests)

    # --- state of the node --------------------------------------------------------------------------------------------

    @property
    def applied_index(self) -> int:
        """The node's applied index; 0 if no node is running."""
        return self.node.applied_index if self.node else 0

    @property
    def term(self) -> int:
        """The node's current term; 0 if no node is running."""
        return self.node.raft.current_term if self.node else 0

    @property
    def is_leader(self) -> bool:
        """Whether a node is running in the role of leader."""
        return self.node is not None and self.node.is_leader

    # --- iterations of the event loop ---------------------------------------------------------------------------------

    def _schedule_iteration(self) -> None:
        """Run an iteration now, or when the current one ends; inputs that arrive until then share it."""
        if self._busy_until > self._scheduler.now:
            self._wake(self._busy_until)
        elif self.node is not None and not self.paused:
            self._wake_at = None
            self._run_iteration(self.node)

    def _wake(self, time: float) -> None:
        """Run an iteration at `time`, unless an earlier one is scheduled."""
        if self._wake_at is None or time < self._wake_at:
            self._wake_at = time
            self._scheduler.at(time, lambda: self._woken(time))

    def _woken(self, time: float) -> None:
        if self._wake_at != time:
            return
        self._wake_at = None
        if self.node is not None and not self.paused:
            self._run_iteration(self.node)

    def _wake_for_timeout(self) -> None:
        if self.node is not None:
            delay = (self.node.next_timeout() - self.clock()) / self._clock_rate
            if self.node.has_work:
                delay = BUSY_SECONDS
            time = self._scheduler.now + max(delay, 0) + CLOCK_RESOLUTION
            self._wake(max(time, self._busy_until))

    def _run_iteration(self, node: Node) -> None:
        self._busy_for = 0.0
        self.behaviour.iteration_began()
        try:
            node.run_iteration()
        except SimulatedCrash:
            self.end(self._rng.choice((Termination.KILLED, Termination.POWER_LOST)))
        except StorageError as error:
            self._disk_failed(error)
        except InvariantError as error:
            self._observe()
            raise Violation(_property_of(error), f"{self.id} raised: {error}", self.id) from error
        except Violation:
            raise
        except Exception as error:
            self._observe()
            raise Violation(UNEXPECTED_FAILURE, f"{self.id} raised {error!r}", self.id) from error
        else:
            self.behaviour.iteration_ended(node.raft, node.last_iteration_at)
            self._observe()
            self._busy_until = self.now
            self._busy_for = 0.0
            self._wake_for_timeout()

    def _disk_failed(self, error: StorageError) -> None:
        self._trace.record(self.id, "failed", str(error))
        if not self.disk.has_failed:
            raise Violation(
                UNEXPECTED_FAILURE, f"{self.id} ended, although its disk has not failed: {error}", self.id
            ) from error
        self.end(self._rng.choice((Termination.KILLED, Termination.POWER_LOST)))

    def _observe(self) -> None:
        """Check the node's state at the end of an iteration."""
        node = self.node
        assert node is not None
        observation = Observation.of(
            node.raft, node.applied_index, self._state_machine.commands_digest, node.state_hash
        )
        self._trace.record(
            self.id,
            "iterated",
            f"t{observation.term} vote {observation.voted_for} {node.raft.role.value} log {observation.last_index} "
            f"commit {observation.commit_index} applied {observation.applied_index}",
        )
        self._checker.step_ended(observation)
        assert self._checked_storage is not None
        self._checked_storage.check_snapshots()
        acknowledgements, self._acknowledgements = self._acknowledgements, []
        for command, index in acknowledgements:
            self._checker.clients.check_acknowledged_write(self.id, command, index)
        if self._admin_requests:
            self._record_ended_requests()

    def _record_ended_requests(self) -> None:
        requests, self._admin_requests = self._admin_requests, []
        for what, future in requests:
            if not future.done():
                self._admin_requests.append((what, future))
            else:
                error = future.exception()
                self._trace.record_rare(self.id, f"request_{'refused' if error else 'done'}", f"{what}: {error}")


def address_of(machine: str) -> str:
    """Return the address at which a machine accepts connections."""
    return f"{machine}:6000"


def machine_at(address: str) -> str:
    """Return the machine at an address."""
    return address.partition(":")[0]


def _property_of(error: InvariantError) -> str:
    """Return the safety property that the core's error names."""
    name = str(error).partition(" (")[0]
    return name if name in (ELECTION_SAFETY, LEADER_COMPLETENESS) else UNEXPECTED_FAILURE
