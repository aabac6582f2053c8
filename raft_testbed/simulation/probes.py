"""Wrappers of a node's storage, state machine and event log that report to the safety checker and the trace."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from struct import Struct
from typing import Any
from zlib import crc32

from raft_pkg.chunks import ChunkReader
from raft_pkg.core.configuration import Configuration
from raft_pkg.core.types import Entry, HardState, SnapshotMetadata
from raft_pkg.events import Event, EventLog
from raft_pkg.kv import KeyValueStore
from raft_pkg.storage import Recovered, SnapshotWriter, Storage
from raft_testbed.simulation.safety import SafetyChecker
from raft_testbed.simulation.trace import Trace


class TracedEventLog(EventLog):
    """Adds a node's log events to the trace."""

    def __init__(self, node: str, trace: Trace) -> None:
        super().__init__(node)
        self._trace = trace

    def emit(self, event: Event, term: int | None = None, **fields: Any) -> None:
        """Log one event."""
        detail = " ".join(f"{name}={value}" for name, value in fields.items())
        self._trace.record_rare(self.node, str(event), f"term={term} {detail}")


class CheckedStorage:
    """A storage that reports all calls to the safety checker."""

    def __init__(self, node: str, storage: Storage, checker: SafetyChecker) -> None:
        self._node = node
        self._storage = storage
        self._checker = checker
        self._incarnation = 0
        self._kept: list[tuple[SnapshotMetadata, bytes]] = []
        """Snapshots taken or installed since the last check, with their data."""

    def check_snapshots(self) -> None:
        """Check the snapshots that were taken or installed since the last call.

        The commits that they rest on must have been checked before.
        """
        kept, self._kept = self._kept, []
        for metadata, data in kept:
            self._checker.snapshot_kept(self._node, metadata, data)

    def recover(self) -> Recovered:
        """See `Storage.recover`."""
        found = self._storage.recover()
        self._incarnation = found.incarnation
        self._disk = self._checker.disk(self._node, found.incarnation)
        self._checker.node_started(self._node, found)
        if found.snapshot is not None:  # a crash may have come between its commit and the next check
            self._kept.append((found.snapshot, self._storage.read_snapshot(0, found.snapshot.size)))
        return found

    def append(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """See `Storage.append`."""
        self._disk.append(hard_state, entries)
        self._storage.append(hard_state, entries)

    def sync(self) -> None:
        """See `Storage.sync`."""
        self._storage.sync()
        self._disk.sync()

    def begin_snapshot(self, index: int, term: int, configuration: Configuration) -> SnapshotWriter:
        """See `Storage.begin_snapshot`."""
        writer = self._storage.begin_snapshot(index, term, configuration)
        self._disk.begin_snapshot(index)
        return CheckedSnapshotWriter(writer, self, SnapshotMetadata(index, term, configuration, 0, 0))

    def snapshot_written(self, index: int, size: int) -> None:
        """Record that bytes of a snapshot were written."""
        self._disk.write_snapshot(index, size)

    def snapshot_commit_began(self, metadata: SnapshotMetadata) -> None:
        """Record that a crash from now on may leave the new snapshot."""
        self._disk.begin_to_commit(metadata)

    def snapshot_committed(self, metadata: SnapshotMetadata, data: bytes) -> None:
        """Record that a crash from now on must leave the new snapshot."""
        self._disk.sync()
        self._kept.append((metadata, data))

    def read_snapshot(self, offset: int, size: int) -> bytes:
        """See `Storage.read_snapshot`."""
        return self._storage.read_snapshot(offset, size)

    def compact(self, index: int) -> None:
        """See `Storage.compact`."""
        self._checker.compacted(self._node, self._incarnation, index)
        self._storage.compact(index)

    def close(self) -> None:
        """See `Storage.close`."""
        self._storage.close()


class CheckedSnapshotWriter:
    """A snapshot writer that reports its commit and the data written."""

    def __init__(self, writer: SnapshotWriter, storage: CheckedStorage, beginning: SnapshotMetadata) -> None:
        self._writer = writer
        self._storage = storage
        self._beginning = beginning
        self._data = bytearray()

    @property
    def size(self) -> int:
        """See `SnapshotWriter.size`."""
        return self._writer.size

    def write(self, data: bytes) -> None:
        """See `SnapshotWriter.write`."""
        self._writer.write(data)
        self._data += data
        self._storage.snapshot_written(self._beginning.index, len(data))

    def commit(self) -> SnapshotMetadata:
        """See `SnapshotWriter.commit`."""
        data = bytes(self._data)
        self._storage.snapshot_commit_began(replace(self._beginning, size=len(data), checksum=crc32(data)))
        metadata = self._writer.commit()
        self._storage.snapshot_committed(metadata, data)
        return metadata

    def discard(self) -> None:
        """See `SnapshotWriter.discard`."""
        self._writer.discard()


_DIGESTS = Struct(">QII")  # number of commands, digest of the commands, digest of their results


class CheckedStateMachine:
    """A key-value store with digests of its commands and results, which are part of its snapshots.

    The snapshot is cut into chunks so small that several iterations of the event loop write it.
    """

    def __init__(self, node: str, checker: SafetyChecker, chunk_bytes: int) -> None:
        self.commands_digest = 0
        self._store = KeyValueStore()
        self._node = node
        self._checker = checker
        self._chunk_bytes = chunk_bytes
        self._count = 0
        self._results_digest = 0

    def apply(self, commands: Sequence[bytes]) -> list[bytes]:
        """See `StateMachine.apply`."""
        results = self._store.apply(commands)
        for command, result in zip(commands, results, strict=True):
            self._count += 1
            self.commands_digest = crc32(command, self.commands_digest)
            self._results_digest = crc32(result, self._results_digest)
            self._checker.applied(self._node, self._count, command, self._results_digest)
        return results

    def query(self, query: bytes) -> bytes:
        """See `StateMachine.query`."""
        return self._store.query(query)

    def snapshot(self) -> Iterator[bytes]:
        """See `StateMachine.snapshot`."""
        digests = _DIGESTS.pack(self._count, self.commands_digest, self._results_digest)
        return _cut(chain([digests], self._store.snapshot()), self._chunk_bytes)

    def restore(self, chunks: Iterable[bytes]) -> None:
        """See `StateMachine.restore`."""
        reader = ChunkReader(chunks)
        digests = _DIGESTS.unpack(reader.take(_DIGESTS.size, "the digests"))
        self._store.restore(reader.rest())
        self._count, self.commands_digest, self._results_digest = digests
        if self._count:
            self._checker.state_restored(self._node, self._count, self._results_digest)


def _cut(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            yield chunk[start : start + size]
