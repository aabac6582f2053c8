"""The persistent state of one node in a directory: a segmented write-ahead log, and a snapshot of what was before it.

Everything is appended: a new term and vote, entries, and also the replacement of entries, which is an entry whose
index is not past the end. What is on disk is never written over; recovery cuts off a torn write (see `_torn`).

A snapshot counts from the moment in which its file gets its name (see `_snapshot`). What it replaces goes in this
order, so that recovery comes to the same result wherever a crash stops it: the snapshot is on disk; if the log does
not have its last entry, a segment that begins anew after it is on disk; `node.json` names the oldest segment that must
be there; then the segments before that one and the snapshot before are removed.

`append` is one write call and `sync` one fdatasync. Once any call of the operating system failed, nothing is known of
what is on disk, and every later call raises: an fsync that failed may well report success the next time without
having written anything.
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
from raft_pkg.storage._incarnation import random_incarnation
from raft_pkg.storage._log import LogReader
from raft_pkg.storage._record import SEGMENT_BYTES_MAX, BatchEncoder
from raft_pkg.storage._segment import NODE_ID_BYTES_MAX, KeptSegment, SegmentHeader, SegmentReader
from raft_pkg.storage._snapshot import NewSnapshot, SnapshotHeader, SnapshotReader, StoredSnapshot
from raft_pkg.storage._state import LogTerms, check_append, check_chunk, check_compact, check_snapshot
from raft_pkg.storage.interface import Recovered

SEGMENT_BYTES = 16 << 20
AHEAD_BYTES = 1 << 20

_BUFFERS_MAX = 32  # above it, copying them into one costs less than passing them to the system one by one


@dataclass(slots=True)
class _OpenSegment:
    """The segment that is being written."""

    path: Path
    descriptor: int
    sequence: int
    end: int  # of the records
    synced: int  # everything before this offset is on disk
    size: int  # of the file; from `end` on it holds zeros
    checksum: int  # of the last record
    highest_index: int  # of the entries in it, also those that later ones replaced; 0: none


class FileSnapshotWriter:
    """A snapshot on its way to disk, in the hands of who writes it. The storage does what is to be done."""

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
        """Bytes written so far."""
        return self._new.size

    def write(self, data: bytes) -> None:
        """Add bytes, and make them durable. Raises ValueError after `commit` or `discard`, as `commit` does."""
        self._write(self._new, data)

    def commit(self) -> SnapshotMetadata:
        """Make this the storage's snapshot, durably and at once; the one before is removed."""
        return self._commit(self._new)

    def discard(self) -> None:
        """Give it up; nothing is left of it. Idempotent, and without effect after `commit`."""
        self._discard(self._new)


class FileStorage:
    """A write-ahead log and a snapshot in `directory` that belongs to `node_id`.

    `segment_bytes` is the size at which a new segment is begun, `ahead_bytes` the unit by which files grow: a sync
    that need not change a file's size takes half the time. `new_incarnation` draws the number that tells this
    directory from any other one of the same identity, when it is used for the first time.
    """

    def __init__(
        self,
        directory: Path,
        node_id: str,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        ahead_bytes: int = AHEAD_BYTES,
        filesystem: Filesystem | None = None,
        new_incarnation: Callable[[], int] = random_incarnation,
    ) -> None:
        if not 0 < len(node_id.encode()) <= NODE_ID_BYTES_MAX:
            raise ValueError(f"a node's identity has 1 to {NODE_ID_BYTES_MAX} bytes, not {len(node_id.encode())}")
        if not 0 < segment_bytes <= SEGMENT_BYTES_MAX:
            raise ValueError(f"segment_bytes is {segment_bytes}, not 1 to {SEGMENT_BYTES_MAX}")
        if not 0 < ahead_bytes <= AHEAD_BYTES:
            raise ValueError(f"ahead_bytes is {ahead_bytes}, not 1 to {AHEAD_BYTES}")
        self._filesystem = filesystem or Filesystem()
        self._directory = DataDirectory(self._filesystem, directory)
        self._node_id = node_id
        self._segment_bytes = segment_bytes
        self._ahead_bytes = ahead_bytes
        self._new_incarnation = new_incarnation
        self._hard_state = HardState()
        self._terms = LogTerms()
        self._incarnation = 0
        self._node_file: NodeFile | None = None  # what node.json says
        self._kept: list[KeptSegment] = []  # before the one that is being written, oldest first
        self._snapshot: StoredSnapshot | None = None
        self._snapshot_index = 0  # last index that it replaces
        self._snapshot_reader: SnapshotReader | None = None  # opened by the first reading
        self._new_snapshot: NewSnapshot | None = None
        self._lock: int | None = None
        self._segment: _OpenSegment | None = None
        self._unusable: str | None = f"{directory}: recover() has not been called"

    def recover(self) -> Recovered:
        """Read everything back. Called once, before anything else."""
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
        """Write a new term and vote (None: unchanged) and entries; durable only after `sync`."""
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
        """Make everything appended so far durable; returns only when it is."""
        segment = self._usable()
        if segment.synced == segment.end:
            return
        try:
            self._filesystem.sync_data(segment.descriptor)
        except OSError as error:
            raise self._failed("sync the log", segment.path, error) from error
        segment.synced = segment.end

    def begin_snapshot(self, index: int, term: int, configuration: Configuration) -> FileSnapshotWriter:
        """Begin to write a snapshot up to `index`; one at a time, besides appends."""
        self._usable()
        check_snapshot(self._snapshot_index, index)
        if self._new_snapshot is not None:
            raise ValueError(f"{self._new_snapshot.path}: is being written; commit or discard it first")
        header = SnapshotHeader(self._node_id, index, term, configuration)
        with self._calls("begin a snapshot", self._directory.snapshot_path(index)):
            new = self._new_snapshot = NewSnapshot(self._directory, header)
        return FileSnapshotWriter(new, self._write_snapshot, self._commit_snapshot, self._discard_snapshot)

    def read_snapshot(self, offset: int, size: int) -> bytes:
        """Bytes of the newest snapshot's data from an offset on; fewer than `size` only at its end."""
        self._usable()
        check_chunk(offset, size)
        if self._snapshot is None:
            raise ValueError(f"{self._directory.path}: holds no snapshot")
        with self._calls("read the snapshot", self._snapshot.path):
            if self._snapshot_reader is None:
                self._snapshot_reader = SnapshotReader(self._filesystem, self._snapshot)
            return self._snapshot_reader.read(offset, size)

    def compact(self, index: int) -> None:
        """Entries up to and including `index` may go: those segments that hold none but such entries are removed."""
        segment = self._usable()
        check_compact(self._snapshot_index, index)
        self._terms.compact(index)
        oldest = self._oldest(segment)
        while self._kept and self._kept[0].highest_index <= index:
            self._kept.pop(0)
        if self._oldest(segment) != oldest:
            with self._calls("compact the log", self._directory.path):
                self._note_position(segment)
                self._remove_what_was_replaced(segment)

    def close(self) -> None:
        """Let go of files and lock, and note how far the log is on disk. Idempotent."""
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
                    self._note_position(segment)
        except OSError as error:
            raise storage_error("note the end of the log", self._directory.path / NODE_FILE_NAME, error) from error

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
        """Calls of the operating system: when one fails, the storage is unusable."""
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
            self._segment = self._begin_segment(1, 0, 0)
        else:
            self._kept = reader.segments[:-1]
            self._segment = self._continue_segment(reader.newest, reader.torn_bytes)
        if reader.is_void:
            self._segment = self._begin_anew(self._segment)
        self._note_position(self._segment)
        self._remove_what_was_replaced(self._segment)
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
        """Cut off a torn write, and make sure that what was read is on disk: the process before may not have synced."""
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

    def _begin_segment(
        self, sequence: int, previous_end: int, previous_checksum: int, *, anew: bool = False
    ) -> _OpenSegment:
        path = self._directory.segment_path(sequence)
        base_index, base_term = self._terms.last_index, self._terms.last_term
        header = SegmentHeader(
            sequence, base_index, base_term, anew, previous_end, previous_checksum, self._node_id
        ).encode()
        batch = BatchEncoder(sequence, len(header), len(header), SegmentHeader.checksum(header))
        batch.add_hard_state(self._hard_state)
        ahead = self._space_ahead(batch.end)
        descriptor = self._directory.create(path, [header, *batch.buffers, ahead])
        return _OpenSegment(path, descriptor, sequence, batch.end, batch.end, batch.end + len(ahead), batch.checksum, 0)

    def _roll(self, segment: _OpenSegment) -> _OpenSegment:
        """Begin the next segment. All of this one is synced first: only the newest may ever end in a torn write."""
        self.sync()
        try:
            self._segment = self._begin_segment(segment.sequence + 1, segment.end, segment.checksum)
            self._filesystem.close(segment.descriptor)
            self._kept.append(KeptSegment(segment.sequence, segment.highest_index))
            self._note_position(self._segment)
        except OSError as error:
            raise self._failed("add a segment to the log", self._directory.path, error) from error
        return self._segment

    def _write(self, segment: _OpenSegment, batch: BatchEncoder) -> None:
        buffers = batch.buffers if len(batch.buffers) <= _BUFFERS_MAX else [b"".join(batch.buffers)]
        size = segment.size
        if batch.end > size:
            ahead = self._space_ahead(batch.end)
            buffers.append(ahead)
            size = batch.end + len(ahead)
        try:
            write_all(self._filesystem, segment.descriptor, buffers, segment.end)
        except OSError as error:
            raise self._failed("write to the log", segment.path, error) from error
        segment.end = batch.end
        segment.size = size
        segment.checksum = batch.checksum

    def _space_ahead(self, end: int) -> bytes:
        """The zeros that fill a file up to a multiple of the unit by which it grows."""
        return bytes(-end % self._ahead_bytes)

    def _note_position(self, segment: _OpenSegment) -> None:
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

    def _remove_what_was_replaced(self, segment: _OpenSegment) -> None:
        self._directory.remove_before(segment=self._oldest(segment), snapshot=self._snapshot_index)

    def _begin_anew(self, segment: _OpenSegment) -> _OpenSegment:
        """Begin a segment that goes on after the snapshot, whatever was in those before. All of this one is synced."""
        begun = self._begin_segment(segment.sequence + 1, segment.end, segment.checksum, anew=True)
        self._filesystem.close(segment.descriptor)
        self._kept = []
        return begun

    def _write_snapshot(self, new: NewSnapshot, data: bytes) -> None:
        self._require_under_way(new)
        with self._calls("write the snapshot", new.path):
            new.write(data)

    def _commit_snapshot(self, new: NewSnapshot) -> SnapshotMetadata:
        self._require_under_way(new)
        self.sync()  # recovery concludes from an entry that is not in the log that it never was
        with self._calls("commit the snapshot", new.path):
            self._snapshot = new.finish()
            self._new_snapshot = None
            self._close_snapshot()
            segment = self._usable()
            metadata = self._snapshot.metadata
            self._snapshot_index = metadata.index
            if self._terms.term_at(metadata.index) != metadata.term:
                self._terms = LogTerms(metadata.index, metadata.term)
                segment = self._segment = self._begin_anew(segment)
                self._note_position(segment)
            self._remove_what_was_replaced(segment)
        return metadata

    def _discard_snapshot(self, new: NewSnapshot | None) -> None:
        if new is not None and new is self._new_snapshot:
            self._new_snapshot = None
            new.discard()

    def _require_under_way(self, new: NewSnapshot) -> None:
        self._usable()
        if new is not self._new_snapshot:
            raise ValueError(f"{new.path}: the snapshot was committed or discarded")

    def _close_snapshot(self) -> None:
        """Let go of the file from which chunks of the snapshot before were read."""
        reader, self._snapshot_reader = self._snapshot_reader, None
        if reader is not None:
            reader.close()
