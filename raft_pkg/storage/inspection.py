"""Looking at a log without changing it: also while a node uses it, or where one may only read."""

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
    """What a sound log and its snapshot add up to."""

    node_id: str
    incarnation: int | None  # None: a crash came before one was drawn
    segments: int  # whose entries count
    hard_state: HardState
    base_index: int  # of the entry before the first one; 0: the log has all from the first on
    base_term: int  # its term
    last_index: int  # of the last entry, or, when there are none, `base_index`
    last_term: int  # its term
    torn_bytes: int  # of a write that a crash cut short, or that is under way; recovery cuts them off
    snapshot: SnapshotMetadata | None


@dataclass(frozen=True, slots=True)
class LogBegin:
    """The log goes on after this entry: those before it were compacted, or a snapshot made them void."""

    index: int
    term: int


@dataclass(frozen=True, slots=True)
class InspectedRecord:
    """One record, header or snapshot, and where it is."""

    file: Path
    offset: int
    size: int  # in the file, in bytes; of a snapshot, that of its data
    value: HardState | Entry | LogBegin | SnapshotMetadata


def inspect_directory(path: Path, *, filesystem: Filesystem | None = None) -> Iterator[InspectedRecord]:
    """The snapshot, and every record of a log in the order of writing, replaced ones as well.

    A `LogBegin` comes before the first record of a log that does not begin with entry 1, and wherever entries that
    are still there are void. Raises at the first damage.
    """
    reader = _reader(path, filesystem)
    if reader.snapshot is not None:
        stored = reader.snapshot
        yield InspectedRecord(stored.path, stored.data_offset, stored.metadata.size, stored.metadata)
    inspected: SegmentReader | None = None
    for segment, record in reader.records():
        header = segment.header
        if segment is not inspected and (header.anew or (inspected is None and header.base_index)):
            begin = LogBegin(header.base_index, header.base_term)
            yield InspectedRecord(segment.path, 0, SEGMENT_HEADER_BYTES, begin)
        inspected = segment
        yield InspectedRecord(segment.path, record.offset, record.end - record.offset, record.value)


def verify_directory(path: Path, *, filesystem: Filesystem | None = None) -> LogReport:
    """Read all of a log and its snapshot; raises CorruptLogError when a node would refuse to start on it."""
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
