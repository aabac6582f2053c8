"""A follower's side of InstallSnapshot: which chunks it takes, and how far it is (paper §7, Figure 13)."""

from zlib import crc32

from raft_pkg.core.messages import InstallSnapshot
from raft_pkg.core.ready import SnapshotChunk
from raft_pkg.core.types import SnapshotMetadata


class SnapshotInbox:
    """The snapshot that is being received, if any. Equal metadata mean equal bytes, whoever sends them."""

    def __init__(self) -> None:
        self._metadata: SnapshotMetadata | None = None
        self._received = 0
        self._checksum = 0

    def next_offset(self, metadata: SnapshotMetadata) -> int:
        """The place that the next chunk of that snapshot must have."""
        return self._received if metadata == self._metadata else 0

    def take(self, request: InstallSnapshot) -> SnapshotChunk | None:
        """Take a piece in; None where it is not the next one, carries nothing, or shows that what came was wrong."""
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

    def clear(self) -> None:
        """Nothing is being received any longer."""
        self._metadata = None
