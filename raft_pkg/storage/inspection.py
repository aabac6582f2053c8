"""Looking at a log without changing it: also while a node uses it, or where one may only read."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raft_pkg.core.types import Entry, HardState
from raft_pkg.errors import StorageError
from raft_pkg.storage._directory import DataDirectory
from raft_pkg.storage._filesystem import Filesystem
from raft_pkg.storage._log import LogReader


@dataclass(frozen=True, slots=True)
class LogReport:
    """What a sound log adds up to."""

    node_id: str
    segments: int
    hard_state: HardState
    last_index: int  # 0: no entries
    last_term: int  # term of the last entry; 0: no entries
    torn_bytes: int  # of a write that a crash cut short, or that is under way; recovery cuts them off


@dataclass(frozen=True, slots=True)
class InspectedRecord:
    """One record and where it is."""

    file: Path
    offset: int
    size: int  # of the record in the file, in bytes
    value: HardState | Entry


def inspect_directory(path: Path, *, filesystem: Filesystem | None = None) -> Iterator[InspectedRecord]:
    """Every record of a log in the order of writing, replaced ones as well; raises at the first damage."""
    for segment, record in _reader(path, filesystem).records():
        yield InspectedRecord(segment.path, record.offset, record.end - record.offset, record.value)


def verify_directory(path: Path, *, filesystem: Filesystem | None = None) -> LogReport:
    """Read all of a log; raises CorruptLogError when a node would refuse to start on it."""
    reader = _reader(path, filesystem)
    for _ in reader.records():
        pass
    if reader.newest is None or reader.node_id is None:
        raise StorageError(f"{path}: holds no log; name the data directory of a node")
    state = reader.state
    return LogReport(
        node_id=reader.node_id,
        segments=reader.segments,
        hard_state=state.hard_state,
        last_index=state.last_index,
        last_term=state.entries[-1].term if state.entries else 0,
        torn_bytes=reader.torn_bytes,
    )


def _reader(path: Path, filesystem: Filesystem | None) -> LogReader:
    return LogReader(DataDirectory(filesystem or Filesystem(), path), node_id=None)
