"""Inspect and verify a data directory without changing it, even while a node uses it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raft_pkg.core.types import Entry, HardState, SnapshotMetadata
from raft_pkg.errors import StorageError
from raft_pkg.storage._directory import DataDirectory
from raft_pkg.storage._filesystem import Filesystem
from raft_pkg.storage._log import LogReader
from raft_pkg.storage._segment import SEGMENT_HEADER_BYTES, SegmentReader


@dataclass(frozen=True, slots=True)
class LogReport:
    """The state that results from a valid log and its snapshot."""

    node_id: str
    incarnation: int | None  # None: a crash came before it was drawn
    segments: int  # without obsolete ones
    hard_state: HardState
    base_index: int  # of the entry before the first one; 0: the log starts with entry 1
    base_term: int  # its term
    last_index: int  # of the last entry; `base_index` without entries
    last_term: int  # its term
    torn_bytes: int  # of a write that was torn by a crash or is in progress; recovery cuts them off
    snapshot: SnapshotMetadata | None


@dataclass(frozen=True, slots=True)
class LogStart:
    """The log continues after this entry: those up to it were compacted, or made obsolete by a snapshot."""

    index: int
    term: int


@dataclass(frozen=True, slots=True)
class InspectedRecord:
    """A record, segment header or snapshot, and its position."""

    file: Path
    offset: int
    size: int  # bytes in the file; for a snapshot, those of its data
    value: HardState | Entry | LogStart | SnapshotMetadata


def inspect_directory(path: Path, *, filesystem: Filesystem | None = None) -> Iterator[InspectedRecord]:
    """Yield the snapshot and every record of the log in the order of writing, including replaced entries.

    A `LogStart` precedes the first record of a log that does not start with entry 1, and each reset of the log.
    Raise `CorruptLogError` at the first damage, and `StorageError` for a directory that cannot be read.
    """
    reader = _reader(path, filesystem)
    if reader.snapshot is not None:
        stored = reader.snapshot
        yield InspectedRecord(stored.path, stored.data_offset, stored.metadata.size, stored.metadata)
    inspected: SegmentReader | None = None
    for segment, record in reader.records():
        header = segment.header
        if segment is not inspected and (header.resets_log or (inspected is None and header.base_index)):
            start = LogStart(header.base_index, header.base_term)
            yield InspectedRecord(segment.path, 0, SEGMENT_HEADER_BYTES, start)
        inspected = segment
        yield InspectedRecord(segment.path, record.offset, record.end - record.offset, record.value)


def verify_directory(path: Path, *, filesystem: Filesystem | None = None) -> LogReport:
    """Read and verify the whole log and its snapshot.

    Raise `CorruptLogError` if a node would refuse to start, and `StorageError` if the directory holds no log.
    """
    reader = _reader(path, filesystem)
    for _ in reader.records():
        pass
    if reader.newest is None or reader.node_id is None:
        raise StorageError(f"{path}: holds no log; name the data directory of a node")
    state = reader.state
    return LogReport(
        node_id=reader.node_id,
        incarnation=reader.node_file.incarnation if reader.node_file else None,
        segments=len(reader.segments),
        hard_state=state.hard_state,
        base_index=state.base_index,
        base_term=state.base_term,
        last_index=state.last_index,
        last_term=state.last_term,
        torn_bytes=reader.torn_bytes,
        snapshot=reader.snapshot.metadata if reader.snapshot else None,
    )


def _reader(path: Path, filesystem: Filesystem | None) -> LogReader:
    return LogReader(DataDirectory(filesystem or Filesystem(), path), node_id=None)
