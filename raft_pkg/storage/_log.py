"""Read and verify the whole log of a directory without changing it.

Log and snapshot must fit together (§7). The log must start at or below the snapshot's last entry; otherwise
acknowledged entries are missing, and it is rejected. If the log does not contain that entry, the snapshot was installed
from a leader and a crash came before the log was reset (Figure 13, InstallSnapshot, step 7): all entries of the log are
then obsolete. The log is synced before a snapshot gets its name, so a log that lacks the entry never contained it.
"""

from collections.abc import Iterator

from raft_pkg.errors import StorageError
from raft_pkg.storage._directory import NODE_FILE_NAME, DataDirectory, NodeFile
from raft_pkg.storage._errors import corrupt_log_error, storage_error
from raft_pkg.storage._record import Record
from raft_pkg.storage._segment import KeptSegment, SegmentReader
from raft_pkg.storage._snapshot import StoredSnapshot, check_snapshot_file
from raft_pkg.storage._state import LogState

_LISTING_ATTEMPTS_MAX = 20


class LogReader:
    """Reads a log once. When `records` is exhausted, the other attributes describe the whole log.

    Raise `CorruptLogError` at the first damage; the snapshot is verified first. `records` yields the records before
    the damage, so its results must not be used until it is exhausted.
    """

    def __init__(self, directory: DataDirectory, node_id: str | None) -> None:
        self.state = LogState()
        self.segments: list[KeptSegment] = []  # without those before a reset of the log
        self.torn_bytes = 0
        self.newest: SegmentReader | None = None  # None: the directory has no log yet
        self.node_id = node_id  # None: any node
        self.needs_reset = False  # a snapshot was installed, and the log was not reset before the crash
        self._directory = directory
        self.node_file, self._sequences, snapshots = _list_directory(directory)
        self._oldest = self.node_file.oldest_segment if self.node_file else 1
        if self.node_file is None and (snapshots or self._sequences not in ([], [1])):
            raise self._missing_node_file()
        if self.node_file is not None:
            self._require_own(self.node_file.node_id)
        self.snapshot = self._check_snapshot(snapshots[-1]) if snapshots else None

    @property
    def snapshot_index(self) -> int:
        """Last index that the snapshot replaces, 0 without a snapshot."""
        return self.snapshot.metadata.index if self.snapshot else 0

    def records(self) -> Iterator[tuple[SegmentReader, Record]]:
        """Yield all records in order, with their segments."""
        sequences = [sequence for sequence in self._sequences if sequence >= self._oldest]
        self._require_no_gap(sequences)
        for sequence in sequences:
            is_newest = sequence == sequences[-1]
            segment = self._open(sequence, is_newest=is_newest)
            for record in segment.records():
                error = self.state.apply(record.value)
                if error:
                    segment.reject(record.offset, error)
                yield segment, record
            self._check_end(segment, is_newest=is_newest)
            self.newest = segment
            self.segments.append(KeptSegment(sequence, segment.highest_index))
        if self.node_file is None and not self.state.is_initial:
            raise self._missing_node_file()
        self._reconcile_with_snapshot()

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
        # After a failed sync of an earlier process, the page cache may differ from the disk.
        segment = SegmentReader(path, self._directory.read(path, cached=not is_newest))
        header = segment.header
        self._require_own(header.node_id)
        if header.sequence != sequence:
            segment.reject(0, f"the file holds segment {header.sequence}; it was renamed")
        if self.newest is not None or sequence == 1:
            self._require_succession(segment)
        if self.newest is None or header.resets_log:
            self._require_snapshot_up_to(segment)
        if header.resets_log:
            self.segments.clear()
            self.state.reset(header.base_index, header.base_term)
        elif self.newest is None:
            self.state = LogState(header.base_index, header.base_term)
        return segment

    def _require_succession(self, segment: SegmentReader) -> None:
        """Reject a segment that does not continue the previous one."""
        header = segment.header
        previous = (self.newest.end, self.newest.checksum) if self.newest else (0, 0)
        if (header.previous_end, header.previous_checksum) != previous:
            segment.reject(
                0, f"the segment follows one that ended at byte {header.previous_end} with checksum "
                f"{header.previous_checksum:08x}, but the previous one ends at {previous[0]} with {previous[1]:08x}",
            )  # fmt: skip
        last = (self.state.last_index, self.state.last_term)
        if not header.resets_log and (header.base_index, header.base_term) != last:
            segment.reject(
                0, f"the segment continues after entry {header.base_index} of term {header.base_term}, but the "
                f"previous one ends with entry {last[0]} of term {last[1]}",
            )  # fmt: skip

    def _require_snapshot_up_to(self, segment: SegmentReader) -> None:
        base_index = segment.header.base_index
        if base_index > self.snapshot_index:
            found = f"the one found is at {self.snapshot_index}" if self.snapshot else "there is none"
            segment.reject(0, f"the log starts after entry {base_index} of a snapshot, but {found}")

    def _reconcile_with_snapshot(self) -> None:
        """Reset the log to the snapshot if it does not contain the snapshot's last entry."""
        if self.snapshot is None or self.newest is None:
            return
        index, term = self.snapshot.metadata.index, self.snapshot.metadata.term
        found = self.state.term_at(index)
        if index == self.state.base_index and found != term:
            self.newest.reject(
                0, f"the log starts after entry {index} of term {found}, but the snapshot has it in term {term}"
            )
        if found != term:
            self.needs_reset = True
            self.state.reset(index, term)

    def _check_end(self, segment: SegmentReader, *, is_newest: bool) -> None:
        if not is_newest:
            segment.require_clean_end()
            return
        if self.node_file and self.node_file.synced_segment == segment.header.sequence:
            segment.require_synced_up_to(self.node_file.synced_offset, NODE_FILE_NAME)
        self.torn_bytes = segment.torn_bytes()

    def _missing_node_file(self) -> StorageError:
        """Return the error for a missing `node.json`: it is created before a log is used."""
        return StorageError(
            f"{self._directory.path / NODE_FILE_NAME}: the file is missing, although the log beside it was used; "
            "restore the data directory from a backup, or remove the node from the cluster and add it with an empty one"
        )

    def _require_own(self, owner: str) -> None:
        if self.node_id is None:
            self.node_id = owner
        if owner != self.node_id:
            raise self._directory.foreign_error(owner, self.node_id)


def _list_directory(directory: DataDirectory) -> tuple[NodeFile | None, list[int], list[int]]:
    """Return the content of `node.json`, the segments and the snapshots, all as of one moment.

    A running node may add and remove files, but changes `node.json` whenever it does.
    """
    for _ in range(_LISTING_ATTEMPTS_MAX):
        node_file = directory.read_node_file()
        segments, snapshots = directory.segments(), directory.snapshots()
        if directory.read_node_file() == node_file:
            return node_file, segments, snapshots
    raise StorageError(f"{directory.path}: changes too often to be inspected; stop the node first")
