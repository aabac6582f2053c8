"""A follower takes every chunk of a snapshot that comes, in whatever order (Figure 13, offset)."""

from raft_pkg.core.snapshots import SnapshotInbox
from raft_testbed.mutation import rewrite

rewrite(SnapshotInbox.take, "request.offset != self.next_offset(metadata)", "False")
rewrite(SnapshotInbox.take, "self._checksum != metadata.checksum", "False")
