"""The persistent state of one node in a directory: a segmented write-ahead log and a snapshot of the entries before it.

The log is append-only. It holds hard states and entries; an entry whose index is not past the end replaces existing
ones. Data on disk is never overwritten; recovery cuts off a torn write (see `_torn`).

A snapshot takes effect when its file is renamed (see `_snapshot`). What it replaces is removed in the following order,
so that recovery yields the same state wherever a crash interrupts it: the snapshot is durable; if the log does not
contain its last entry, a segment that resets the log is durable; `node.json` names the oldest required segment; then
older segments and the previous snapshot are removed.

`append` is one write call, `sync` one fdatasync. After any failed system call the state of the disk is unknown, and
every later call raises: an fsync that is retried after a failure may report success without having written anything.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.types import Entry, HardState, SnapshotMetadata
from raft_pkg.errors import StorageError
from raft_pkg.storage._directory import NODE_FILE_NAME, DataDirectory, NodeFile
from raft_pkg.storage._errors import storage_error
from raft_pkg.storage._filesystem import Filesystem, write_all
from raft_pkg.storage._log import LogReader
from raft_pkg.storage._record import SEGMENT_BYTES_MAX, BatchEncoder
from raft_pkg.storage._segment import NODE_ID_BYTES_MAX, KeptSegment, SegmentHeader, SegmentReader
from raft_pkg.storage._snapshot import NewSnapshot, SnapshotHeader, SnapshotReader, StoredSnapshot
from raft_pkg.storage._state import LogTerms, check_append, check_chunk, check_compact, check_snapshot
from raft_pkg.storage.interface import Recovered, random_incarnation

SEGMENT_BYTES = 16 << 20
PREALLOCATION_BYTES = 1 << 20

_BUFFERS_MAX = 32  # more buffers are joined: that costs less than passing each to the system


@dataclass(slots=True)
class _OpenSegment:
    """The newest segment, to which records are appended."""

    path: Path
    descriptor: int
    sequence: int
    end: int  # of the records
    synced: int  # everything before this offset is durable
    size: int  # of the file; zeros from `end` on
    checksum: int  # of the last record
    highest_index: int  # of the entries in it, including replaced ones; 0 without any


class FileSnapshotWriter:
    """The `SnapshotWriter` of a `FileStorage`, which does the work."""

    def __init__(
        self,
        new: NewSnapshot,
        write: Callable[[NewSnapshot, bytes], None],
        commit: Callable[[NewSnapshot], SnapshotMetadata],
        discard: Callable[[NewSnapshot], None],
    ) -> None:
        self._new = new
        self._write, self._commit, self._discard = write, commit, discard

    @property
    def size(self) -> int:
        """Number of bytes written so far."""
        return self._new.size

    def write(self, data: bytes) -> None:
        """Append data durably. Raise `ValueError` after `commit` or `discard`, and so does `commit`."""
        self._write(self._new, data)

    def commit(self) -> SnapshotMetadata:
        """Replace the storage's snapshot by this one; see `SnapshotWriter.commit`."""
        return self._commit(self._new)

    def discard(self) -> None:
        """Abandon the snapshot and remove its file. Idempotent; no effect after `commit`."""
        self._discard(self._new)


class FileStorage:
    """A write-ahead log and a snapshot in `directory`, which belongs to `node_id`.

    `segment_bytes` is the size at which a new segment is created. Files grow by multiples of `preallocation_bytes`: a
    sync that does not change the size of a file takes half the time. `new_incarnation` draws the incarnation of the
    directory at its first use.

    Raise `ValueError` for an argument out of range, and from methods for calls that break `Storage`'s contract.
    """

    def __init__(
        self,
        directory: Path,
        node_id: str,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        preallocation_bytes: int = PREALLOCATION_BYTES,
        filesystem: Filesystem | None = None,
        new_incarnation: Callable[[], int] = random_incarnation,
    ) -> None:
        if not 0 < len(node_id.encode()) <= NODE_ID_BYTES_MAX:
            raise ValueError(f"a node's identity has 1 to {NODE_ID_BYTES_MAX} bytes, not {len(node_id.encode())}")
        if not 0 < segment_bytes <= SEGMENT_BYTES_MAX:
            raise ValueError(f"segment_bytes is {segment_bytes}, not 1 to {SEGMENT_BYTES_MAX}")
        if not 0 < preallocation_bytes <= PREALLOCATION_BYTES:
            raise ValueError(f"preallocation_bytes is {preallocation_bytes}, not 1 to {PREALLOCATION_BYTES}")
        self._filesystem = filesystem or Filesystem()
        self._directory = DataDirectory(self._filesystem, directory)
        self._node_id = node_id
        self._segment_bytes = segment_bytes
        self._preallocation_bytes = preallocation_bytes
        self._new_incarnation = new_incarnation
        self._hard_state = HardState()
        self._terms = LogTerms()
        self._incarnation = 0
        self._node_file: NodeFile | None = None  # content of node.json
        self._kept: list[KeptSegment] = []  # before the newest one, oldest first
        self._snapshot: StoredSnapshot | None = None
        self._snapshot_index = 0  # last index that it replaces
        self._snapshot_reader: SnapshotReader | None = None  # opened by the first read
        self._new_snapshot: NewSnapshot | None = None
        self._lock: int | None = None
        self._segment: _OpenSegment | None = None
        self._unusable: str | None = f"{directory}: recover() has not been called"

    def recover(self) -> Recovered:
        """Lock the directory, verify and read the persistent state. Must be called once, before all other methods.

        Raise `DirectoryInUseError`, `ForeignDirectoryError`, `CorruptLogError`, or `StorageError` for a failed call.
        """
        if self._lock is not None:
            raise StorageError(f"{self._directory.path}: recover() was called before")
        self._directory.make()
        self._lock = self._directory.lock()
        try:
            return self._recover()
        except OSError as error:
            self.close()
            raise storage_error("recover the log", Path(error.filename or self._directory.path), error) from error
        except BaseException:
            self.close()
            raise

    def append(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Write term and vote (None: unchanged) and entries. They are durable only after `sync`."""
        segment = self._usable()
        check_append(self._hard_state, self._snapshot_index, self._terms.last_index, hard_state, entries)
        if segment.end >= self._segment_bytes:
            segment = self._roll(segment)
        batch = BatchEncoder(segment.sequence, segment.end, segment.synced, segment.checksum)
        if hard_state is not None:
            batch.add_hard_state(hard_state)
        for entry in entries:
            batch.add_entry(entry)
        if batch.end > segment.end:
            self._write(segment, batch)
        if hard_state is not None:
            self._hard_state = hard_state
        if entries:
            self._terms.append(entries)
            segment.highest_index = max(segment.highest_index, self._terms.last_index)

    def sync(self) -> None:
        """Return when all appended data is durable."""
        segment = self._usable()
        if segment.synced == segment.end:
            return
        try:
            self._filesystem.sync_data(segment.descriptor)
        except OSError as error:
            raise self._failed("sync the log", segment.path, error) from error
        segment.synced = segment.end

    def begin_snapshot(self, index: int, term: int, configuration: Configuration) -> FileSnapshotWriter:
        """Begin a snapshot that replaces the entries up to `index`. At most one is written at a time."""
        self._usable()
        check_snapshot(self._snapshot_index, index)
        if self._new_snapshot is not None:
            raise ValueError(f"{self._new_snapshot.path}: is being written; commit or discard it first")
        header = SnapshotHeader(self._node_id, index, term, configuration)
        with self._calls("begin a snapshot", self._directory.snapshot_path(index)):
            new = self._new_snapshot = NewSnapshot(self._directory, header)
        return FileSnapshotWriter(new, self._write_snapshot, self._commit_snapshot, self._discard_snapshot)

    def read_snapshot(self, offset: int, size: int) -> bytes:
        """Return `size` bytes of the snapshot's data from `offset` on; fewer only at the end."""
        self._usable()
        check_chunk(offset, size)
        if self._snapshot is None:
            raise ValueError(f"{self._directory.path}: holds no snapshot")
        with self._calls("read the snapshot", self._snapshot.path):
            if self._snapshot_reader is None:
                self._snapshot_reader = SnapshotReader(self._filesystem, self._snapshot)
            return self._snapshot_reader.read(offset, size)

    def compact(self, index: int) -> None:
        """Remove the segments that contain only entries up to and including `index`."""
        segment = self._usable()
        check_compact(self._snapshot_index, index)
        self._terms.compact(index)
        oldest = self._oldest(segment)
        while self._kept and self._kept[0].highest_index <= index:
            self._kept.pop(0)
        if self._oldest(segment) != oldest:
            with self._calls("compact the log", self._directory.path):
                self._write_position(segment)
                self._remove_obsolete_files(segment)

    def close(self) -> None:
        """Write the end of the log to `node.json`; release files and lock. Idempotent."""
        usable = self._unusable is None
        self._discard_snapshot(self._new_snapshot)
        segment, self._segment = self._segment, None
        lock, self._lock = self._lock, None
        self._unusable = self._unusable or f"{self._directory.path}: the storage was closed"
        try:
            with ExitStack() as stack:
                stack.callback(self._close_snapshot)
                for descriptor in (lock, segment.descriptor if segment else None):
                    if descriptor is not None:
                        stack.callback(self._filesystem.close, descriptor)
                if segment is not None and usable:
                    self._write_position(segment)
        except OSError as error:
            raise storage_error("record the end of the log", self._directory.path / NODE_FILE_NAME, error) from error

    def _oldest(self, segment: _OpenSegment) -> int:
        return self._kept[0].sequence if self._kept else segment.sequence

    def _usable(self) -> _OpenSegment:
        if self._unusable is not None or self._segment is None:
            raise StorageError(self._unusable)
        return self._segment

    def _failed(self, action: str, path: Path, error: OSError) -> StorageError:
        failure = storage_error(action, path, error)
        self._unusable = f"{failure} (the storage is unusable since then)"
        return failure

    @contextmanager
    def _calls(self, action: str, path: Path) -> Iterator[None]:
        """Convert an `OSError` of the block; the storage is unusable afterwards."""
        try:
            yield
        except OSError as error:
            raise self._failed(action, path, error) from error

    def _recover(self) -> Recovered:
        reader = LogReader(self._directory, self._node_id)
        for _ in reader.records():
            pass
        self._node_file = reader.node_file
        self._incarnation = reader.node_file.incarnation if reader.node_file else self._new_incarnation()
        state = reader.state
        self._hard_state = state.hard_state
        self._terms = LogTerms(state.base_index, state.base_term, state.entries)
        self._snapshot, self._snapshot_index = reader.snapshot, reader.snapshot_index
        self._directory.remove_temporary_files()
        if reader.newest is None:
            self._directory.sync_parent()
            self._segment = self._create_segment(1, 0, 0)
        else:
            self._kept = reader.segments[:-1]
            self._segment = self._continue_segment(reader.newest, reader.torn_bytes)
        if reader.needs_reset:
            self._segment = self._reset_log(self._segment)
        self._write_position(self._segment)
        self._remove_obsolete_files(self._segment)
        self._unusable = None
        return Recovered(
            hard_state=state.hard_state,
            entries=state.entries,
            torn_bytes=reader.torn_bytes,
            incarnation=self._incarnation,
            base_index=state.base_index,
            base_term=state.base_term,
            snapshot=self._snapshot.metadata if self._snapshot else None,
        )

    def _continue_segment(self, read: SegmentReader, torn_bytes: int) -> _OpenSegment:
        """Reopen the newest segment, cut off a torn write and sync the rest: the earlier process may not have."""
        descriptor = self._filesystem.open(read.path)
        try:
            if torn_bytes:
                self._filesystem.truncate(descriptor, read.end)
            self._filesystem.sync_file(descriptor)
            self._directory.sync()
        except BaseException:
            self._filesystem.close(descriptor)
            raise
        size = read.end if torn_bytes else read.size
        return _OpenSegment(
            read.path, descriptor, read.header.sequence, read.end, read.end, size, read.checksum, read.highest_index
        )

    def _create_segment(
        self, sequence: int, previous_end: int, previous_checksum: int, *, resets_log: bool = False
    ) -> _OpenSegment:
        path = self._directory.segment_path(sequence)
        base_index, base_term = self._terms.last_index, self._terms.last_term
        header = SegmentHeader(
            sequence, base_index, base_term, resets_log, previous_end, previous_checksum, self._node_id
        ).encode()
        batch = BatchEncoder(sequence, len(header), len(header), SegmentHeader.checksum(header))
        batch.add_hard_state(self._hard_state)
        ahead = self._preallocation(batch.end)
        descriptor = self._directory.create(path, [header, *batch.buffers, ahead])
        return _OpenSegment(path, descriptor, sequence, batch.end, batch.end, batch.end + len(ahead), batch.checksum, 0)

    def _roll(self, segment: _OpenSegment) -> _OpenSegment:
        """Create the next segment. This one is synced first: only the newest segment may end in a torn write."""
        self.sync()
        try:
            self._segment = self._create_segment(segment.sequence + 1, segment.end, segment.checksum)
            self._filesystem.close(segment.descriptor)
            self._kept.append(KeptSegment(segment.sequence, segment.highest_index))
            self._write_position(self._segment)
        except OSError as error:
            raise self._failed("add a segment to the log", self._directory.path, error) from error
        return self._segment

    def _write(self, segment: _OpenSegment, batch: BatchEncoder) -> None:
        buffers = batch.buffers if len(batch.buffers) <= _BUFFERS_MAX else [b"".join(batch.buffers)]
        size = segment.size
        if batch.end > size:
            ahead = self._preallocation(batch.end)
            buffers.append(ahead)
            size = batch.end + len(ahead)
        try:
            write_all(self._filesystem, segment.descriptor, buffers, segment.end)
        except OSError as error:
            raise self._failed("write to the log", segment.path, error) from error
        segment.end = batch.end
        segment.size = size
        segment.checksum = batch.checksum

    def _preallocation(self, end: int) -> bytes:
        """Return zeros that extend a file to a multiple of the preallocation unit."""
        return bytes(-end % self._preallocation_bytes)

    def _write_position(self, segment: _OpenSegment) -> None:
        node_file = NodeFile(
            node_id=self._node_id,
            incarnation=self._incarnation,
            oldest_segment=self._oldest(segment),
            synced_segment=segment.sequence,
            synced_offset=segment.synced,
        )
        if node_file != self._node_file:
            self._directory.write_node_file(node_file)
            self._node_file = node_file

    def _remove_obsolete_files(self, segment: _OpenSegment) -> None:
        self._directory.remove_before(segment=self._oldest(segment), snapshot=self._snapshot_index)

    def _reset_log(self, segment: _OpenSegment) -> _OpenSegment:
        """Create a segment that continues after the snapshot and makes all previous ones obsolete.

        `segment`, the newest one, is synced.
        """
        created = self._create_segment(segment.sequence + 1, segment.end, segment.checksum, resets_log=True)
        self._filesystem.close(segment.descriptor)
        self._kept = []
        return created

    def _write_snapshot(self, new: NewSnapshot, data: bytes) -> None:
        self._require_current(new)
        with self._calls("write the snapshot", new.path):
            new.write(data)

    def _commit_snapshot(self, new: NewSnapshot) -> SnapshotMetadata:
        self._require_current(new)
        self.sync()  # recovery assumes that an entry missing from the log was never in it
        with self._calls("commit the snapshot", new.path):
            self._snapshot = new.finish()
            self._new_snapshot = None
            self._close_snapshot()
            segment = self._usable()
            metadata = self._snapshot.metadata
            self._snapshot_index = metadata.index
            if self._terms.term_at(metadata.index) != metadata.term:
                self._terms = LogTerms(metadata.index, metadata.term)
                segment = self._segment = self._reset_log(segment)
                self._write_position(segment)
            self._remove_obsolete_files(segment)
        return metadata

    def _discard_snapshot(self, new: NewSnapshot | None) -> None:
        if new is not None and new is self._new_snapshot:
            self._new_snapshot = None
            new.discard()

    def _require_current(self, new: NewSnapshot) -> None:
        self._usable()
        if new is not self._new_snapshot:
            raise ValueError(f"{new.path}: the snapshot was committed or discarded")

    def _close_snapshot(self) -> None:
        """Close the file from which chunks of the previous snapshot were read."""
        reader, self._snapshot_reader = self._snapshot_reader, None
        if reader is not None:
            reader.close()
