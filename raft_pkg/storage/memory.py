"""The persistent state of one node in memory, for tests. A crash loses what was not synced."""

from collections.abc import Callable, Sequence
from zlib import crc32

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.types import Entry, HardState, SnapshotMetadata
from raft_pkg.errors import StorageError
from raft_pkg.storage._state import LogState, check_append, check_chunk, check_compact, check_snapshot
from raft_pkg.storage.interface import Recovered, random_incarnation


class MemorySnapshotWriter:
    """The `SnapshotWriter` of a `MemoryStorage`."""

    def __init__(self, storage: "MemoryStorage", index: int, term: int, configuration: Configuration) -> None:
        self.index = index
        self.term = term
        self.configuration = configuration
        self.data = bytearray()
        self._storage = storage

    @property
    def size(self) -> int:
        """Number of bytes written so far."""
        return len(self.data)

    def write(self, data: bytes) -> None:
        """Append data durably. Raise `ValueError` after `commit` or `discard`, and so does `commit`."""
        self._storage.require_current(self)
        self.data += data

    def commit(self) -> SnapshotMetadata:
        """Replace the storage's snapshot by this one; see `SnapshotWriter.commit`."""
        return self._storage.commit_snapshot(self)

    def discard(self) -> None:
        """Abandon the snapshot. Idempotent; no effect after `commit`."""
        self._storage.discard_snapshot(self)


class MemoryStorage:
    """A disk and its storage in one object, which outlives the node.

    Call `recover`, then `append`, `sync` and so on; `crash` or `close`; and `recover` again.
    """

    def __init__(self, *, new_incarnation: Callable[[], int] = random_incarnation) -> None:
        self._synced = LogState()
        self._unsynced: list[HardState | Entry] = []  # records in the order of appending
        self._new_incarnation = new_incarnation
        self._incarnation = 0  # 0: never used
        self._snapshot: SnapshotMetadata | None = None
        self._snapshot_data = b""
        self._new_snapshot: MemorySnapshotWriter | None = None
        self._hard_state = HardState()
        self._last_index = 0
        self._torn_bytes = 0
        self._unusable: str | None = "recover() has not been called"

    def recover(self) -> Recovered:
        """Read the persistent state. Must be called after creation, `crash` and `close`, before all other methods."""
        if self._unusable is None:
            raise StorageError("memory: recover() was called before")
        self._unusable = None
        torn_bytes, self._torn_bytes = self._torn_bytes, 0
        self._incarnation = self._incarnation or self._new_incarnation()
        self._hard_state = self._synced.hard_state
        self._last_index = self._synced.last_index
        return Recovered(
            hard_state=self._hard_state,
            entries=list(self._synced.entries),
            torn_bytes=torn_bytes,
            incarnation=self._incarnation,
            base_index=self._synced.base_index,
            base_term=self._synced.base_term,
            snapshot=self._snapshot,
        )

    def append(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Write term and vote (None: unchanged) and entries. They are durable only after `sync`."""
        self._require_usable()
        check_append(self._hard_state, self._snapshot_index, self._last_index, hard_state, entries)
        if hard_state is not None:
            self._hard_state = hard_state
            self._unsynced.append(hard_state)
        if entries:
            self._last_index = entries[-1].index
            self._unsynced.extend(entries)

    def sync(self) -> None:
        """Make all appended data durable."""
        self._require_usable()
        self._persist(len(self._unsynced))

    def begin_snapshot(self, index: int, term: int, configuration: Configuration) -> MemorySnapshotWriter:
        """Begin a snapshot that replaces the entries up to `index`. At most one is written at a time."""
        self._require_usable()
        check_snapshot(self._snapshot_index, index)
        if self._new_snapshot is not None:
            raise ValueError("memory: a snapshot is being written; commit or discard it first")
        self._new_snapshot = MemorySnapshotWriter(self, index, term, configuration)
        return self._new_snapshot

    def read_snapshot(self, offset: int, size: int) -> bytes:
        """Return `size` bytes of the snapshot's data from `offset` on; fewer only at the end."""
        self._require_usable()
        check_chunk(offset, size)
        if self._snapshot is None:
            raise ValueError("memory: holds no snapshot")
        return self._snapshot_data[offset : offset + size]

    def compact(self, index: int) -> None:
        """Remove the entries up to and including `index`."""
        self._require_usable()
        check_compact(self._snapshot_index, index)
        self._synced.compact(index)

    def close(self) -> None:
        """Close the storage. As with files, appended data survives although it is not synced. Idempotent."""
        if self._unusable is None:
            self.crash(survivors=len(self._unsynced))
            self._unusable = "the storage was closed"

    @property
    def unsynced(self) -> int:
        """Number of records that a crash can lose."""
        return len(self._unsynced)

    def crash(self, *, survivors: int = 0, torn_bytes: int = 0) -> None:
        """Crash. Of the unsynced records, the first `survivors` remain.

        `torn_bytes` is the length of a torn write after them that recovery will report.
        """
        if not 0 <= survivors <= len(self._unsynced):
            raise ValueError(f"{survivors} of {len(self._unsynced)} unsynced records can't survive")
        if torn_bytes and survivors == len(self._unsynced):
            raise ValueError("no record is left that could be torn")
        self._persist(survivors)
        self._unsynced.clear()
        self._torn_bytes = torn_bytes
        self._new_snapshot = None
        self._unusable = "the node has crashed"

    def fail(self, what: str) -> None:
        """Make every later call raise `StorageError`, as after a failed sync, until `crash` and `recover`."""
        self._unusable = what

    def require_current(self, writer: MemorySnapshotWriter) -> None:
        """For writers: raise unless `writer` is the current one."""
        self._require_usable()
        if writer is not self._new_snapshot:
            raise ValueError("memory: the snapshot was committed or discarded")

    def commit_snapshot(self, writer: MemorySnapshotWriter) -> SnapshotMetadata:
        """For writers: make what `writer` has written the storage's snapshot."""
        self.require_current(writer)
        self.sync()
        data = bytes(writer.data)
        metadata = SnapshotMetadata(writer.index, writer.term, writer.configuration, len(data), crc32(data))
        self._snapshot, self._snapshot_data, self._new_snapshot = metadata, data, None
        if self._synced.term_at(metadata.index) != metadata.term:
            self._synced.reset(metadata.index, metadata.term)
            self._last_index = metadata.index
        return metadata

    def discard_snapshot(self, writer: MemorySnapshotWriter) -> None:
        """For writers: abandon `writer`, unless it was committed."""
        if writer is self._new_snapshot:
            self._new_snapshot = None

    @property
    def _snapshot_index(self) -> int:
        return self._snapshot.index if self._snapshot else 0

    def _persist(self, count: int) -> None:
        for value in self._unsynced[:count]:
            error = self._synced.apply(value)
            if error is not None:
                raise StorageError(f"memory: {error}")
        del self._unsynced[:count]

    def _require_usable(self) -> None:
        if self._unusable is not None:
            raise StorageError(f"memory: {self._unusable}")
