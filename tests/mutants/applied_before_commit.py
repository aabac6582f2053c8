"""Entries are applied as soon as they are in the log (§5.3, only committed ones)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft.take_ready,
    "self.log.slice(self._handed_out + 1, self.commit_index + 1)",
    "self.log.slice(self._handed_out + 1, self.log.last_index + 1)",
)
