"""Snapshots (§7): what they contain, and that the chunks sent are chunks of them."""

from zlib import crc32

from raft_pkg.core.messages import InstallSnapshot
from raft_pkg.core.types import SnapshotMetadata
from raft_testbed.simulation.safety.commits import CommitChecker
from raft_testbed.simulation.safety.observation import describe_configuration, describe_entry
from raft_testbed.simulation.safety.violation import SNAPSHOT_BYTES, SNAPSHOT_CONTENT, Violation


class SnapshotChecker:
    """Checks snapshots against the committed entries and each other. Owns the first snapshot of each index."""

    def __init__(self, commits: CommitChecker) -> None:
        self._commits = commits
        self._snapshots: dict[int, tuple[SnapshotMetadata, bytes]] = {}

    def check(self, node: str, snapshot: SnapshotMetadata, data: bytes) -> None:
        """Check a snapshot that a node has taken or installed: metadata, and equality with those of other nodes."""
        if snapshot.size != len(data) or snapshot.checksum != crc32(data):
            raise Violation(SNAPSHOT_BYTES, f"{node}'s snapshot of {len(data)} bytes has the metadata {snapshot}", node)
        committed = self._commits.at(snapshot.index)
        expected = committed and (committed.entry.term, committed.configuration)
        if expected != (snapshot.term, snapshot.configuration):
            raise Violation(
                SNAPSHOT_CONTENT,
                f"{node}'s snapshot is {snapshot}; committed there is "
                f"{committed and (describe_entry(committed.entry), describe_configuration(committed.configuration))}",
                node,
            )
        known, known_data = self._snapshots.setdefault(snapshot.index, (snapshot, data))
        if known != snapshot or known_data != data:
            raise Violation(
                SNAPSHOT_BYTES, f"{node}'s snapshot of index {snapshot.index} differs from other nodes'", node
            )

    def check_chunk(self, sender: str, body: InstallSnapshot) -> None:
        """Check that a chunk that a leader sends is part of the snapshot that it names."""
        known = self._snapshots.get(body.metadata.index)
        stop = body.offset + len(body.data)
        if known is None or known[0] != body.metadata or known[1][body.offset : stop] != body.data:
            raise Violation(
                SNAPSHOT_BYTES,
                f"{sender} sends bytes {body.offset} to {stop} of {body.metadata}, which differ from the snapshot's",
                sender,
            )
