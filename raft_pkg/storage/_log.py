"""Reading the whole log of a directory, without changing anything: what is in it, and whether it is sound."""

from collections.abc import Iterator

from raft_pkg.errors import StorageError
from raft_pkg.storage._directory import NODE_FILE_NAME, DataDirectory, NodeFile
from raft_pkg.storage._errors import corrupt_log_error
from raft_pkg.storage._record import Record
from raft_pkg.storage._segment import SegmentReader
from raft_pkg.storage._state import LogState


class LogReader:
    """Reads a log once. After `records` has come to its end, the other attributes describe what was read.

    Raises CorruptLogError at the first damage. `records` yields what is before it, so nothing of what it yielded is
    to be relied on until it has come to its end.
    """

    def __init__(self, directory: DataDirectory, node_id: str | None) -> None:
        self.state = LogState()
        self.segments = 0
        self.torn_bytes = 0
        self.newest: SegmentReader | None = None  # None: there is no log yet
        self.node_id = node_id  # None: whoever's it is
        self._directory = directory
        # Read before the segments are listed, so that a segment added meanwhile is not taken for a missing one.
        self._node_file = directory.read_node_file()
        if self._node_file is not None:
            self._require_own(self._node_file.node_id)

    @property
    def node_file(self) -> NodeFile | None:
        return self._node_file

    def records(self) -> Iterator[tuple[SegmentReader, Record]]:
        """All records in order."""
        sequences = self._directory.segments()
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
            self.segments += 1
        self._require_node_file()

    def _require_no_gap(self, sequences: list[int]) -> None:
        newest = self._node_file.synced_segment if self._node_file else 0
        expected = range(1, max(newest, *sequences, 0) + 1)
        missing = sorted(set(expected).difference(sequences))
        if missing:
            raise corrupt_log_error(
                self._directory.segment_path(missing[0]), 0,
                f"the file is missing; segments 1 to {expected.stop - 1} belong to the log",
            )  # fmt: skip

    def _open(self, sequence: int, *, is_newest: bool) -> SegmentReader:
        path = self._directory.segment_path(sequence)
        # The process before may have stopped because it could not sync: what is in memory is not what is on disk.
        segment = SegmentReader(path, self._directory.read(path, cached=not is_newest))
        header = segment.header
        self._require_own(header.node_id)
        if header.sequence != sequence:
            segment.refuse(0, f"the file holds segment {header.sequence}; its name was given to it later")
        previous = (self.newest.end, self.newest.checksum) if self.newest else (0, 0)
        if (header.previous_end, header.previous_checksum) != previous:
            segment.refuse(
                0, f"the segment follows one that ended at byte {header.previous_end} with checksum "
                f"{header.previous_checksum:08x}, but the one before ends at {previous[0]} with {previous[1]:08x}",
            )  # fmt: skip
        if header.first_index != self.state.last_index + 1:
            segment.refuse(
                0,
                f"the segment begins with entry {header.first_index}, the one before ends with {self.state.last_index}",
            )
        return segment

    def _check_end(self, segment: SegmentReader, *, is_newest: bool) -> None:
        if not is_newest:
            segment.require_clean_end()
            return
        if self._node_file and self._node_file.synced_segment == segment.header.sequence:
            segment.require_synced_up_to(self._node_file.synced_offset, f"{NODE_FILE_NAME} shows")
        self.torn_bytes = segment.torn_bytes()

    def _require_node_file(self) -> None:
        """A crash may have come before `node.json` was made, but not if the log was used after that."""
        if self._node_file is None and (self.segments > 1 or not self.state.is_initial):
            raise StorageError(
                f"{self._directory.path / NODE_FILE_NAME}: the file is missing, although the log beside it was in use; "
                "restore the data directory from a copy, or remove the node from the cluster and add it with an empty "
                "one"
            )

    def _require_own(self, owner: str) -> None:
        if self.node_id is None:
            self.node_id = owner
        if owner != self.node_id:
            raise self._directory.foreign(owner, self.node_id)
