"""The persistent state of one node as a segmented write-ahead log in a directory.

Everything is appended: a new term and vote, entries, and also the replacement of entries, which is an entry whose
index is not past the end. What is on disk is never written over; recovery cuts off a torn write (see `_torn`).

`append` is one write call and `sync` one fdatasync. Once any call of the operating system failed, nothing is known of
what is on disk, and every later call raises: an fsync that failed may well report success the next time without
having written anything.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from raft_pkg.core.types import Entry, HardState
from raft_pkg.errors import StorageError
from raft_pkg.storage._directory import NODE_FILE_NAME, DataDirectory, NodeFile
from raft_pkg.storage._errors import storage_error
from raft_pkg.storage._filesystem import Filesystem, write_all
from raft_pkg.storage._log import LogReader
from raft_pkg.storage._record import SEGMENT_BYTES_MAX, BatchEncoder
from raft_pkg.storage._segment import NODE_ID_BYTES_MAX, SegmentHeader, SegmentReader
from raft_pkg.storage._state import check_append
from raft_pkg.storage.interface import Recovered

SEGMENT_BYTES = 64 << 20
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


class FileStorage:
    """A write-ahead log in `directory` that belongs to `node_id`.

    `segment_bytes` is the size at which a new segment is begun, `ahead_bytes` the unit by which files grow: a sync
    that need not change a file's size takes half the time.
    """

    def __init__(
        self,
        directory: Path,
        node_id: str,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        ahead_bytes: int = AHEAD_BYTES,
        filesystem: Filesystem | None = None,
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
        self._hard_state = HardState()
        self._last_index = 0
        self._position: NodeFile | None = None  # what node.json says
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
        last_index = check_append(self._hard_state, self._last_index, hard_state, entries)
        if segment.end >= self._segment_bytes:
            segment = self._roll(segment)
        batch = BatchEncoder(segment.sequence, segment.end, segment.synced, segment.checksum)
        if hard_state is not None:
            batch.add_hard_state(hard_state)
        for entry in entries:
            batch.add_entry(entry)
        if batch.end > segment.end:
            self._write(segment, batch)
        self._last_index = last_index
        if hard_state is not None:
            self._hard_state = hard_state

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

    def close(self) -> None:
        """Let go of files and lock, and note how far the log is on disk. Idempotent."""
        usable = self._unusable is None
        segment, self._segment = self._segment, None
        lock, self._lock = self._lock, None
        self._unusable = self._unusable or f"{self._directory.path}: the storage was closed"
        try:
            with ExitStack() as stack:
                for descriptor in (lock, segment.descriptor if segment else None):
                    if descriptor is not None:
                        stack.callback(self._filesystem.close, descriptor)
                if segment is not None and usable:
                    self._note_position(segment)
        except OSError as error:
            raise storage_error("note the end of the log", self._directory.path / NODE_FILE_NAME, error) from error

    def _usable(self) -> _OpenSegment:
        if self._unusable is not None or self._segment is None:
            raise StorageError(self._unusable)
        return self._segment

    def _failed(self, action: str, path: Path, error: OSError) -> StorageError:
        failure = storage_error(action, path, error)
        self._unusable = f"{failure} (the storage is unusable since then)"
        return failure

    def _recover(self) -> Recovered:
        reader = LogReader(self._directory, self._node_id)
        for _ in reader.records():
            pass
        self._position = reader.node_file
        state = reader.state
        self._hard_state = state.hard_state
        self._last_index = state.last_index
        self._directory.remove_temporary_files()
        if reader.newest is None:
            self._directory.sync_parent()
            self._segment = self._begin_segment(1, 0, 0)
        else:
            self._segment = self._continue_segment(reader.newest, reader.torn_bytes)
        self._note_position(self._segment)
        self._unusable = None
        return Recovered(state.hard_state, state.entries, reader.torn_bytes)

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
        return _OpenSegment(read.path, descriptor, read.header.sequence, read.end, read.end, size, read.checksum)

    def _begin_segment(self, sequence: int, previous_end: int, previous_checksum: int) -> _OpenSegment:
        path = self._directory.segment_path(sequence)
        header = SegmentHeader(sequence, self._last_index + 1, previous_end, previous_checksum, self._node_id).encode()
        batch = BatchEncoder(sequence, len(header), len(header), SegmentHeader.checksum(header))
        batch.add_hard_state(self._hard_state)
        ahead = self._space_ahead(batch.end)
        descriptor = self._directory.create(path, [header, *batch.buffers, ahead])
        return _OpenSegment(path, descriptor, sequence, batch.end, batch.end, batch.end + len(ahead), batch.checksum)

    def _roll(self, segment: _OpenSegment) -> _OpenSegment:
        """Begin the next segment. All of this one is synced first: only the newest may ever end in a torn write."""
        self.sync()
        try:
            self._segment = self._begin_segment(segment.sequence + 1, segment.end, segment.checksum)
            self._filesystem.close(segment.descriptor)
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
        position = NodeFile(self._node_id, segment.sequence, segment.synced)
        if position != self._position:
            self._directory.write_node_file(position)
            self._position = position
