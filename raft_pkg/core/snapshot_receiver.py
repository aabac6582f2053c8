"""The follower's side of InstallSnapshot: which chunks to accept, and how far the transfer is (paper §7, Figure 13)."""

from zlib import crc32

from raft_pkg.core.messages import InstallSnapshot
from raft_pkg.core.ready import SnapshotChunk
from raft_pkg.core.types import SnapshotMetadata


class SnapshotReceiver:
    """The snapshot that is being received, if any. Snapshots with equal metadata have equal bytes, from any leader."""

    def __init__(self) -> None:
        self._metadata: SnapshotMetadata | None = None
        self._received = 0
        self._checksum = 0

    def next_offset(self, metadata: SnapshotMetadata) -> int:
        """Return the offset of the next chunk of that snapshot."""
        return self._received if metadata == self._metadata else 0

    def accept(self, request: InstallSnapshot) -> SnapshotChunk | None:
        """Return the chunk, or None if it is not the next one, is empty, or completes a snapshot with wrong bytes."""
        metadata, data = request.metadata, request.data
        if request.offset != self.next_offset(metadata) or request.offset + len(data) > metadata.size:
            return None
        if not data and metadata.size:
            return None
        if metadata != self._metadata:
            self._metadata, self._received, self._checksum = metadata, 0, 0
        self._received += len(data)
        self._checksum = crc32(data, self._checksum)
        chunk = SnapshotChunk(metadata, request.offset, data)
        if chunk.is_last and self._checksum != metadata.checksum:
            self._metadata = None
            return None
        return chunk

    def reset(self) -> None:
        """Stop receiving."""
        self._metadata = None
