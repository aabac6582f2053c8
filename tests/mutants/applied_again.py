"""What was applied is handed out again with the next commit."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft.take_ready,
    "self._handed_out = self.commit_index",
    "self._handed_out = max(self._handed_out, self.commit_index - 1)",
)
