"""Reading the whole log of a directory, without changing anything: what is in it, and whether it is sound.

The log and the snapshot must fit together (paper §7). The log begins at or below the snapshot's last entry: else
entries are missing that somebody was promised, and it is refused. And if the log does not have that entry, the
snapshot was installed from a leader, and a crash came before the log was begun anew after it (Figure 13,
InstallSnapshot, step 7): everything in the log is void then. The log is synced before a snapshot gets its name, so a
log that has not got the entry never had it.
"""

from collections.abc import Iterator

from raft_pkg.errors import StorageError
from raft_pkg.storage._directory import NODE_FILE_NAME, DataDirectory, NodeFile
from raft_pkg.storage._errors import corrupt_log_error, storage_error
from raft_pkg.storage._record import Record
from raft_pkg.storage._segment import KeptSegment, SegmentReader
from raft_pkg.storage._snapshot import StoredSnapshot, check_snapshot_file
from raft_pkg.storage._state import LogState

_LOOKS_MAX = 20


class LogReader:
    """Reads a log once. After `records` has come to its end, the other attributes describe what was read.

    Raises CorruptLogError at the first damage; the snapshot is checked first. `records` yields what is before the
    damage, so nothing of what it yielded is to be relied on until it has come to its end.
    """

    def __init__(self, directory: DataDirectory, node_id: str | None) -> None:
        self.state = LogState()
        self.segments: list[KeptSegment] = []  # those whose entries count
        self.torn_bytes = 0
        self.newest: SegmentReader | None = None  # None: there is no log yet
        self.node_id = node_id  # None: whoever's it is
        self.is_void = False  # a snapshot was installed, and the log is still to be begun anew after it
        self._directory = directory
        self.node_file, self._sequences, snapshots = _look(directory)
        self._oldest = self.node_file.oldest_segment if self.node_file else 1
        if self.node_file is None and (snapshots or self._sequences not in ([], [1])):
            raise self._missing_node_file()
        if self.node_file is not None:
            self._require_own(self.node_file.node_id)
        self.snapshot = self._check_snapshot(snapshots[-1]) if snapshots else None

    @property
    def snapshot_index(self) -> int:
        """Last index that the snapshot replaces; 0: there is none."""
        return self.snapshot.metadata.index if self.snapshot else 0

    def records(self) -> Iterator[tuple[SegmentReader, Record]]:
        """All records in order."""
        sequences = [sequence for sequence in self._sequences if sequence >= self._oldest]
        self._require_no_gap(sequences)
        for sequence in sequences:
            is_newest = sequence == sequences[-1]
            segment = self._open(sequence, is_newest=is_newest)
            for record in segment.records():
                problem = self.state.apply(record.value)
                if problem:
                    segment.refuse(record.offset, problem)
                yield segment, record
            self._check_end(segment, is_newest=is_newest)
            self.newest = segment
            self.segments.append(KeptSegment(sequence, segment.highest_index))
        if self.node_file is None and not self.state.is_initial:
            raise self._missing_node_file()
        self._join_snapshot()

    def _check_snapshot(self, index: int) -> StoredSnapshot:
        try:
            snapshot, owner = check_snapshot_file(self._directory, index)
        except OSError as error:
            raise storage_error("read the snapshot", self._directory.snapshot_path(index), error) from error
        self._require_own(owner)
        return snapshot

    def _require_no_gap(self, sequences: list[int]) -> None:
        newest = self.node_file.synced_segment if self.node_file else 0
        expected = range(self._oldest, max(newest, *sequences, 0) + 1)
        missing = sorted(set(expected).difference(sequences))
        if missing:
            raise corrupt_log_error(
                self._directory.segment_path(missing[0]), 0,
                f"the file is missing; segments {self._oldest} to {expected.stop - 1} belong to the log",
            )  # fmt: skip

    def _open(self, sequence: int, *, is_newest: bool) -> SegmentReader:
        path = self._directory.segment_path(sequence)
        # The process before may have stopped because it could not sync: what is in memory is not what is on disk.
        segment = SegmentReader(path, self._directory.read(path, cached=not is_newest))
        header = segment.header
        self._require_own(header.node_id)
        if header.sequence != sequence:
            segment.refuse(0, f"the file holds segment {header.sequence}; its name was given to it later")
        if self.newest is not None or sequence == 1:
            self._require_succession(segment)
        if self.newest is None or header.anew:
            self._require_snapshot_up_to(segment)
        if header.anew:
            self.segments.clear()
            self.state.begin_anew(header.base_index, header.base_term)
        elif self.newest is None:
            self.state = LogState(header.base_index, header.base_term)
        return segment

    def _require_succession(self, segment: SegmentReader) -> None:
        """Refuse a segment that does not go on where the one before ended."""
        header = segment.header
        previous = (self.newest.end, self.newest.checksum) if self.newest else (0, 0)
        if (header.previous_end, header.previous_checksum) != previous:
            segment.refuse(
                0, f"the segment follows one that ended at byte {header.previous_end} with checksum "
                f"{header.previous_checksum:08x}, but the one before ends at {previous[0]} with {previous[1]:08x}",
            )  # fmt: skip
        last = (self.state.last_index, self.state.last_term)
        if not header.anew and (header.base_index, header.base_term) != last:
            segment.refuse(
                0, f"the segment goes on after entry {header.base_index} of term {header.base_term}, "
                f"the one before ends with {last[0]} of {last[1]}",
            )  # fmt: skip

    def _require_snapshot_up_to(self, segment: SegmentReader) -> None:
        base_index = segment.header.base_index
        if base_index > self.snapshot_index:
            there_is = f"only one up to entry {self.snapshot_index}" if self.snapshot else "none"
            segment.refuse(0, f"the log begins after entry {base_index} of a snapshot, and there is {there_is}")

    def _join_snapshot(self) -> None:
        """Let the log go on after the snapshot if it does not have the last entry that the snapshot replaces."""
        if self.snapshot is None or self.newest is None:
            return
        index, term = self.snapshot.metadata.index, self.snapshot.metadata.term
        found = self.state.term_at(index)
        if index == self.state.base_index and found != term:
            self.newest.refuse(
                0, f"the log begins after entry {index} of term {found}, but in the snapshot it is of term {term}"
            )
        if found != term:
            self.is_void = True
            self.state.begin_anew(index, term)

    def _check_end(self, segment: SegmentReader, *, is_newest: bool) -> None:
        if not is_newest:
            segment.require_clean_end()
            return
        if self.node_file and self.node_file.synced_segment == segment.header.sequence:
            segment.require_synced_up_to(self.node_file.synced_offset, f"{NODE_FILE_NAME} shows")
        self.torn_bytes = segment.torn_bytes()

    def _missing_node_file(self) -> StorageError:
        """A crash may have come before `node.json` was made, but not if the log was used after that."""
        return StorageError(
            f"{self._directory.path / NODE_FILE_NAME}: the file is missing, although the log beside it was in use; "
            "restore the data directory from a copy, or remove the node from the cluster and add it with an empty one"
        )

    def _require_own(self, owner: str) -> None:
        if self.node_id is None:
            self.node_id = owner
        if owner != self.node_id:
            raise self._directory.foreign(owner, self.node_id)


def _look(directory: DataDirectory) -> tuple[NodeFile | None, list[int], list[int]]:
    """What `node.json` says, and which segments and snapshots there are, as of one moment.

    A node that uses the directory meanwhile may add and remove files, and says so in `node.json`: a segment added is
    not taken for a missing one, nor one removed.
    """
    for _ in range(_LOOKS_MAX):
        node_file = directory.read_node_file()
        segments, snapshots = directory.segments(), directory.snapshots()
        if directory.read_node_file() == node_file:
            return node_file, segments, snapshots
    raise StorageError(f"{directory.path}: changes too often to be looked at; stop the node first")
