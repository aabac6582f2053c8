"""A machine: its disk, its clock, and the node that runs on it, for as long as it does."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import Enum
from itertools import chain
from pathlib import Path
from random import Random
from struct import Struct
from typing import Any
from zlib import crc32

from raft_pkg.chunks import ChunkReader
from raft_pkg.core.configuration import Configuration
from raft_pkg.core.errors import InvariantError
from raft_pkg.core.membership import Change
from raft_pkg.core.messages import Message
from raft_pkg.core.types import Entry, HardState, SnapshotMetadata
from raft_pkg.errors import StorageError
from raft_pkg.events import Event, EventLog
from raft_pkg.kv import KeyValueStore
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.server.config import ServerConfig
from raft_pkg.server.node import Node
from raft_pkg.storage import FileStorage, Recovered, SnapshotWriter
from raft_testbed.simulation.context import Setting
from raft_testbed.simulation.disk import FaultyDisk, SimulatedCrash
from raft_testbed.simulation.invariants import (
    ELECTION_SAFETY,
    LEADER_COMPLETENESS,
    SOUND_NODE,
    Invariants,
    Observation,
    Violation,
)
from raft_testbed.simulation.rules import NodeRules
from raft_testbed.simulation.trace import Trace, describe

DATA_DIR = Path("/data")
AHEAD_BYTES = 4096
CLOCK_RESOLUTION = 1e-6
"""A timer never fires before its time, whatever rounding does."""
RESTART_SECONDS = 0.01
"""How soon a node is tried again that could not be started."""
BUSY_SECONDS = 0.0001
"""How soon a node takes its next turn that has something to do in any case."""
WALL_CLOCK_BEGINS = 1_700_000_000.0
"""Seconds since 1970 at which the world begins."""


class Ending(Enum):
    """How a node came to its end."""

    KILLED = "killed"
    """The process is gone; what it wrote is in the page cache."""
    POWER_LOST = "power lost"
    """The machine is gone; what was not synced is a matter of rng."""
    STOPPED = "stopped"
    """The process was asked to end, and did so in its own way."""


class SimulatedEventLog(EventLog):
    """Puts a node's events into the trace."""

    def __init__(self, node: str, trace: Trace) -> None:
        super().__init__(node)
        self._trace = trace

    def emit(self, event: Event, term: int | None = None, **fields: Any) -> None:
        """Log one event."""
        detail = " ".join(f"{name}={value}" for name, value in fields.items())
        self._trace.record_seldom(self.node, str(event), f"term={term} {detail}")


class WatchedStorage:
    """The real storage; tells the invariants what it found, and what it was asked to keep."""

    def __init__(self, node: str, storage: FileStorage, invariants: Invariants) -> None:
        self.kept: list[tuple[SnapshotMetadata, bytes]] = []
        """Snapshots that count since the invariants last looked at them, and their data."""
        self._node = node
        self._storage = storage
        self._invariants = invariants
        self._incarnation = 0

    def recover(self) -> Recovered:
        """Read everything back."""
        found = self._storage.recover()
        self._incarnation = found.incarnation
        self._disk = self._invariants.disk(self._node, found.incarnation)
        self._invariants.node_started(self._node, found)
        if found.snapshot is not None:  # a crash may have come after it began to count, and before anybody was told
            self.kept.append((found.snapshot, self._storage.read_snapshot(0, found.snapshot.size)))
        return found

    def append(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Write."""
        self._disk.append(hard_state, entries)
        self._storage.append(hard_state, entries)

    def sync(self) -> None:
        """Make durable."""
        self._storage.sync()
        self._disk.sync()

    def begin_snapshot(self, index: int, term: int, configuration: Configuration) -> SnapshotWriter:
        """Begin to write a snapshot."""
        writer = self._storage.begin_snapshot(index, term, configuration)
        return WatchedWriter(writer, self, SnapshotMetadata(index, term, configuration, 0, 0))

    def snapshot_begins_to_count(self, metadata: SnapshotMetadata) -> None:
        """From now on a crash may leave it."""
        self._disk.begin_to_commit(metadata)

    def snapshot_counts(self, metadata: SnapshotMetadata, data: bytes) -> None:
        """From now on no crash may take it away."""
        self._disk.sync()
        self.kept.append((metadata, data))

    def read_snapshot(self, offset: int, size: int) -> bytes:
        """Read a piece of the newest snapshot."""
        return self._storage.read_snapshot(offset, size)

    def compact(self, index: int) -> None:
        """Let entries go."""
        self._invariants.compacted(self._node, self._incarnation, index)
        self._storage.compact(index)

    def close(self) -> None:
        """Let go."""
        self._storage.close()


class WatchedWriter:
    """The real writer of a snapshot; keeps what was written."""

    def __init__(self, writer: SnapshotWriter, storage: WatchedStorage, beginning: SnapshotMetadata) -> None:
        self._writer = writer
        self._storage = storage
        self._beginning = beginning
        self._data = bytearray()

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._writer.size

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self._writer.write(data)
        self._data += data

    def commit(self) -> SnapshotMetadata:
        """Make it the storage's snapshot."""
        data = bytes(self._data)
        self._storage.snapshot_begins_to_count(replace(self._beginning, size=len(data), checksum=crc32(data)))
        metadata = self._writer.commit()
        self._storage.snapshot_counts(metadata, data)
        return metadata

    def discard(self) -> None:
        """Give it up."""
        self._writer.discard()


_SUMS = Struct(">QII")  # number of commands, digest of them, digest of their answers


class WatchedStateMachine:
    """The real key-value store; adds up what it was given and what it answered, across its snapshots too."""

    def __init__(self, node: str, invariants: Invariants, chunk_bytes: int) -> None:
        self.commands_digest = 0
        self._store = KeyValueStore()
        self._node = node
        self._invariants = invariants
        self._chunk_bytes = chunk_bytes
        self._count = 0
        self._answers_digest = 0

    def apply(self, commands: Sequence[bytes]) -> list[bytes]:
        """Apply committed commands in order."""
        results = self._store.apply(commands)
        for command, result in zip(commands, results, strict=True):
            self._count += 1
            self.commands_digest = crc32(command, self.commands_digest)
            self._answers_digest = crc32(result, self._answers_digest)
            self._invariants.applied(self._node, self._count, command, self._answers_digest)
        return results

    def query(self, query: bytes) -> bytes:
        """Answer a read."""
        return self._store.query(query)

    def snapshot(self) -> Iterator[bytes]:
        """Capture the state, and what it adds up to, in chunks so small that it takes several turns to write them."""
        sums = _SUMS.pack(self._count, self.commands_digest, self._answers_digest)
        return _cut([sums], self._store.snapshot(), self._chunk_bytes)

    def restore(self, chunks: Iterable[bytes]) -> None:
        """Take over the state of a snapshot: it answers from there on as everybody does."""
        reader = ChunkReader(chunks)
        sums = _SUMS.unpack(reader.take(_SUMS.size, "the sums"))
        self._store.restore(reader.rest())
        self._count, self.commands_digest, self._answers_digest = sums
        if self._count:
            self._invariants.answered(self._node, self._count, self._answers_digest)


def _cut(beginning: list[bytes], chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    for chunk in chain(beginning, chunks):
        for start in range(0, len(chunk), size):
            yield chunk[start : start + size]


class Connection:
    """One call of a client: is told the outcome, or that the machine is gone."""

    def complete(self, outcome: pb.Outcome) -> None:
        """Take the outcome."""
        raise NotImplementedError

    def flush(self) -> None:
        """The turn is over."""

    def broken(self) -> None:
        """The node has ended without an outcome."""
        raise NotImplementedError


class Host:
    """One machine of the cluster. It outlives the nodes that run on it one after another."""

    def __init__(self, node_id: str, addresses: dict[str, str], setting: Setting) -> None:
        self.id = node_id
        self.node: Node | None = None
        self.paused = False
        self.sync_seconds_max = setting.conditions.sync_seconds_max
        self.damaged: Callable[[], None] | None = None
        """What takes back damage to the disk; None: there is none. A node may refuse to start on a damaged disk."""
        self.wants_to_run = True
        """Whether a node that ended of itself is started again."""
        self._addresses = addresses
        self._seed = setting.seed
        self._conditions = setting.conditions
        self._scheduler = setting.scheduler
        self._network = setting.network
        self._invariants = setting.invariants
        self._trace = setting.trace
        self._rng = Random(f"{setting.seed} {node_id}")
        self.filesystem = FaultyDisk(self._rng, self._take_time_to_sync)
        self.incarnation = 0
        """Of the disk that is in the machine; 0: it was never used."""
        self._machine = WatchedStateMachine(node_id, setting.invariants, setting.conditions.snapshot_step_bytes)
        self._incarnations = Random(f"{setting.seed} {node_id} incarnations")
        self._life = 0
        self._ends: dict[int, float] = {}
        """When each life that is over ended."""
        self._clock_rate = 1.0
        self._clock_offset = self._rng.uniform(0, 1000)
        self._wall_clock_offset = WALL_CLOCK_BEGINS + self._rng.uniform(0, setting.conditions.wall_clock_skew)
        self._busy_for = 0.0
        """How long the turn that is being taken has lasted so far."""
        self._busy_until = 0.0
        self._wake_at: float | None = None
        self._connections: dict[Connection, None] = {}
        self._acknowledgements: list[tuple[bytes, int]] = []
        self._storage: FileStorage | None = None
        self._watched: WatchedStorage | None = None
        self._reachable: Mapping[str, str] = {}
        self._remotes: dict[str, str] = {}
        """Nodes that the present one can't reach otherwise, and that have sent it something."""
        self._requests: list[tuple[str, asyncio.Future[Any]]] = []
        """Changes and transfers that were asked of the present node, and have not come to their end."""
        self._rules: NodeRules | None = None

    # --- clock --------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The time of the world, as far as the turn that is being taken has come."""
        return self._scheduler.now + self._busy_for

    def clock(self) -> float:
        """This machine's monotonic clock."""
        return self._clock_offset + self._clock_rate * self.now

    def wall_clock(self) -> float:
        """Seconds since 1970, as far as this machine knows; it becomes log time."""
        return self._wall_clock_offset + self.now

    def skew_clock(self, rate: float) -> None:
        """Let the clock run faster or slower from now on."""
        self._clock_offset = self.clock() - rate * self.now
        self._clock_rate = rate
        self._wake_for_timeout()

    def _take_time_to_sync(self) -> None:
        self._busy_for += self._rng.random() * self.sync_seconds_max

    # --- life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Boot, if needed, and start a node on what is on the disk."""
        if self.node is not None or not self.wants_to_run:
            return
        self.filesystem.boot()
        self._life += 1
        self._busy_for = 0.0
        self._busy_until = 0.0
        storage = FileStorage(
            DATA_DIR,
            self.id,
            segment_bytes=self._conditions.segment_bytes,
            ahead_bytes=AHEAD_BYTES,
            filesystem=self.filesystem,
            new_incarnation=lambda: self._incarnations.randrange(1, 1 << 31),
        )
        try:
            self.node = self._build_node(storage)
        except StorageError as error:
            self._refuse_to_start(error)
        except SimulatedCrash:
            self._try_again("ended while it started")
        else:
            self.damaged = None
            self._storage = storage
            self._trace.record(self.id, "started", f"life {self._life}")
            self._wake_for_timeout()

    def _build_node(self, storage: FileStorage) -> Node:
        conditions = self._conditions
        config = ServerConfig(
            self.id,
            "0.0.0.0:6000",
            self._addresses,
            DATA_DIR,
            snapshot_entries=conditions.snapshot_entries,
            snapshot_bytes=conditions.snapshot_bytes,
            snapshot_step_bytes=conditions.snapshot_step_bytes,
            session_ttl=conditions.session_ttl,
        )
        object.__setattr__(config, "raft", conditions.raft)  # it has limits that no user sets
        self._machine = WatchedStateMachine(self.id, self._invariants, conditions.snapshot_step_bytes)
        self._reachable, self._remotes = {}, {}
        watched = self._watched = WatchedStorage(self.id, storage, self._invariants)
        node = Node(
            config,
            watched,
            self._machine,
            self,
            SimulatedEventLog(self.id, self._trace),
            random=Random(f"{self._seed} {self.id} {self._life}"),
            clock=self.clock,
            wall_clock=self.wall_clock,
        )
        self.incarnation = node.raft.incarnation
        self._rules = NodeRules(node.raft, conditions.raft)
        return node

    def _refuse_to_start(self, error: StorageError) -> None:
        if self.damaged is not None:
            self.damaged()
            self.damaged = None
        elif not self.filesystem.has_failed:
            raise Violation(SOUND_NODE, f"{self.id} can't be started: {error}", self.id) from error
        self._try_again(f"refused to start: {error}")

    def _try_again(self, why: str) -> None:
        self._trace.record(self.id, "not started", why)
        self.filesystem.stop(power_lost=True)
        self._scheduler.after(RESTART_SECONDS, self.start)

    def end(self, ending: Ending) -> None:
        """The node ends at once, in whatever it was doing."""
        if self.node is None:
            return
        self._observe()
        self._trace.record(self.id, "ended", ending.value)
        self._ends[self._life] = self.now
        if ending is Ending.STOPPED and self._storage is not None:
            with suppress(SimulatedCrash, StorageError):
                self._storage.close()
        self.node = None
        self.paused = False
        self._requests.clear()
        self.filesystem.stop(power_lost=ending is Ending.POWER_LOST)
        if ending is not Ending.POWER_LOST:  # then nobody is left to say so
            self._network.report_unreachable(self.id, self._network.names, self.now)
        connections, self._connections = self._connections, {}
        for connection in connections:
            connection.broken()

    def lose_disk(self) -> None:
        """The machine gets an empty disk: what starts on it is another node, whatever its name."""
        self.end(Ending.POWER_LOST)
        self.filesystem = FaultyDisk(self._rng, self._take_time_to_sync)
        self.damaged = None
        self.incarnation = 0
        self._invariants.disk_lost(self.id)
        self._trace.record_seldom(self.id, "disk_lost")

    def pause(self) -> None:
        """The process gets no time; what is sent to it waits."""
        self.paused = self.node is not None

    def resume(self) -> None:
        """The process goes on."""
        self.paused = False
        self._schedule_iteration()

    # --- work ---------------------------------------------------------------------------------------------------

    def deliver(self, message: Message) -> None:
        """A message of a peer has arrived."""
        if self.node is None:
            return
        self._trace.record(self.id, "received", describe(message))
        self.rules.received(message)
        self.node.deliver([message], address_of(message.sender))
        self._schedule_iteration()

    def peer_unreachable(self, peer: str) -> None:
        """A peer's process has ended, or seems to."""
        if self.node is None:
            return
        self._trace.record(self.id, "peer_unreachable", peer)
        self.rules.peer_unreachable(peer)
        self.node.peer_unreachable(peer)
        self._schedule_iteration()

    def submit(self, connection: Connection, request: pb.Request, session_id: int, acknowledged: int) -> bool:
        """A client's request has arrived; False: nobody listens. `session_id` 0: it is of no session."""
        if self.node is None:
            return False
        self._connections[connection] = None
        self.node.submit(connection, [request], session_id=session_id, acknowledged=acknowledged)
        self._schedule_iteration()
        return True

    def close(self, connection: Connection) -> None:
        """The client waits no longer."""
        self._connections.pop(connection, None)

    def acknowledge(self, command: bytes, index: int) -> None:
        """In this turn a client was told that its command is done; checked when the turn is over."""
        self._acknowledgements.append((command, index))

    def update_peers(self, addresses: Mapping[str, str]) -> None:
        """The node's transport: whom it can send to."""
        self._reachable = addresses
        for node_id in addresses:
            self._remotes.pop(node_id, None)

    def add_remote(self, node_id: str, address: str) -> None:
        """The node's transport: whom it can answer."""
        if node_id not in self._reachable:
            self._remotes[node_id] = address

    def send(self, messages: Sequence[Message]) -> None:
        """The node's transport."""
        life = self._life
        departure = self.now
        assert self.node is not None
        for message in messages:
            self._invariants.message_sent(message)
            self.rules.message_sent(message, self.node.raft, self.node.last_iteration_at)
            address = self._reachable.get(message.recipient) or self._remotes.get(message.recipient)
            if address is not None:
                self._network.send(message, host_at(address), departure, lambda: self.was_alive(life, departure))

    def was_alive(self, life: int, time: float) -> bool:
        """Whether a life of this machine's node lasted to that time: what should have left later never did."""
        return self._ends.get(life, time) >= time

    @property
    def rules(self) -> NodeRules:
        """The rules for the node's present life."""
        assert self._rules is not None
        return self._rules

    def read_answered(self, round_before: int) -> None:
        """The node answers a read that came when `round_before` was its newest round of heartbeats."""
        assert self.node is not None
        self.rules.read_answered(round_before, self.node.raft, self.node.last_iteration_at)

    def transfer(self, target: str) -> None:
        """Ask the node that runs here to hand leadership over."""
        if self.node is not None and not self.paused:
            self._requests.append((f"transfer to {target}", self.node.transfer_leadership(target)))
            self._schedule_iteration()

    def change_members(self, change: Change) -> "asyncio.Future[int] | None":
        """Ask the node that runs here to change the members; the future tells the end, if the node lives to see it."""
        if self.node is None or self.paused:
            return None
        future = self.node.change_members(change)
        self._requests.append((str(change), future))
        self._schedule_iteration()
        return future

    @property
    def has_requests(self) -> bool:
        """Whether changes or transfers that were asked of the present node have not come to their end."""
        return bool(self._requests)

    def heal(self, sync_seconds_max: float) -> None:
        """Everything works here from now on; what still kept a slow disk busy is done."""
        self._busy_until = min(self._busy_until, self._scheduler.now)
        self.filesystem.heal()
        self.filesystem.crash_after(None)
        self.sync_seconds_max = sync_seconds_max
        self.skew_clock(1.0)
        if self.paused:
            self.resume()
        self.start()

    @property
    def applied_index(self) -> int:
        """How far the node that runs here has come."""
        return self.node.applied_index if self.node else 0

    @property
    def term(self) -> int:
        """Of the node that runs here."""
        return self.node.raft.current_term if self.node else 0

    @property
    def life(self) -> int:
        """Number of the node's present life."""
        return self._life

    @property
    def is_leader(self) -> bool:
        """Whether a node runs here that believes to be the leader."""
        return self.node is not None and self.node.is_leader

    def _schedule_iteration(self) -> None:
        """Take a turn now, or as soon as the present one is over: what comes meanwhile shares the next."""
        if self._busy_until > self._scheduler.now:
            self._wake(self._busy_until)
        elif self.node is not None and not self.paused:
            self._wake_at = None
            self._run_iteration(self.node)

    def _wake(self, time: float) -> None:
        """Take a turn at `time`."""
        if self._wake_at is None or time < self._wake_at:
            self._wake_at = time
            self._scheduler.at(time, lambda: self._woken(time))

    def _woken(self, time: float) -> None:
        if self._wake_at != time:
            return
        self._wake_at = None
        if self.node is not None and not self.paused:
            self._run_iteration(self.node)

    def _run_iteration(self, node: Node) -> None:
        self._busy_for = 0.0
        self.rules.iteration_began()
        try:
            node.run_iteration()
        except SimulatedCrash:
            self.end(self._rng.choice((Ending.KILLED, Ending.POWER_LOST)))
        except StorageError as error:
            self._fail(error)
        except InvariantError as error:
            self._observe()
            raise Violation(_invariant_of(error), f"{self.id} found: {error}", self.id) from error
        except Violation:
            raise
        except Exception as error:
            self._observe()
            raise Violation(SOUND_NODE, f"{self.id} raised {error!r}", self.id) from error
        else:
            self.rules.iteration_ended(node.raft, node.last_iteration_at)
            self._observe()
            self._busy_until = self.now
            self._busy_for = 0.0
            self._wake_for_timeout()

    def _fail(self, error: StorageError) -> None:
        """A node whose disk fails must end; it is replaced by one on a disk that works again."""
        self._trace.record(self.id, "failed", str(error))
        if not self.filesystem.has_failed:
            raise Violation(SOUND_NODE, f"{self.id} ended, although its disk works: {error}", self.id) from error
        self.end(self._rng.choice((Ending.KILLED, Ending.POWER_LOST)))

    def _observe(self) -> None:
        """Let the invariants see what the turn has changed."""
        node = self.node
        assert node is not None
        observation = Observation.of(node.raft, node.applied_index, self._machine.commands_digest, node.state_hash)
        self._trace.record(
            self.id,
            "turned",
            f"t{observation.term} vote {observation.voted_for} {node.raft.role.value} log {observation.last_index} "
            f"commit {observation.commit_index} applied {observation.applied_index}",
        )
        self._invariants.step_ended(observation)
        assert self._watched is not None
        kept, self._watched.kept = self._watched.kept, []
        for metadata, data in kept:
            self._invariants.snapshot_kept(self.id, metadata, data)
        acknowledgements, self._acknowledgements = self._acknowledgements, []
        for command, index in acknowledgements:
            self._invariants.write_acknowledged(self.id, command, index)
        if self._requests:
            self._note_ended_requests()

    def _note_ended_requests(self) -> None:
        requests, self._requests = self._requests, []
        for what, future in requests:
            if not future.done():
                self._requests.append((what, future))
            else:
                error = future.exception()
                self._trace.record_seldom(self.id, f"request_{'refused' if error else 'done'}", f"{what}: {error}")

    def _wake_for_timeout(self) -> None:
        if self.node is not None:
            delay = (self.node.next_timeout() - self.clock()) / self._clock_rate
            if self.node.has_work:
                delay = BUSY_SECONDS
            time = self._scheduler.now + max(delay, 0) + CLOCK_RESOLUTION
            self._wake(max(time, self._busy_until))


def address_of(host: str) -> str:
    """Where a machine takes connections."""
    return f"{host}:6000"


def host_at(address: str) -> str:
    """The machine at an address."""
    return address.partition(":")[0]


def _invariant_of(error: InvariantError) -> str:
    """The invariant that the core names when it finds one broken."""
    name = str(error).partition(" (")[0]
    return name if name in (ELECTION_SAFETY, LEADER_COMPLETENESS) else SOUND_NODE
