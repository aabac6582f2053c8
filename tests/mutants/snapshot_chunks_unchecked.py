"""A follower takes every chunk of a snapshot that comes, in whatever order (Figure 13, offset)."""

from raft_pkg.core.snapshots import SnapshotInbox
from raft_testbed.simulation.mutation import rewrite

rewrite(
    SnapshotInbox.take,
    "request.offset != self.next_offset(metadata) or ",
    "",
)
rewrite(
    SnapshotInbox.take,
    "chunk.is_last and self._checksum != metadata.checksum",
    "False",
)
