"""A follower accepts the chunks of a snapshot in any order (Figure 13, offset)."""

from raft_pkg.core.snapshot_receiver import SnapshotReceiver
from raft_testbed.mutation import rewrite

rewrite(SnapshotReceiver.accept, "request.offset != self.next_offset(metadata)", "False")
rewrite(SnapshotReceiver.accept, "self._checksum != metadata.checksum", "False")
