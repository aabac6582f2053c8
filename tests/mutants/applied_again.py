"""The newest applied entry is applied again with the next commit."""

from raft_pkg.core.replicated_log import ReplicatedLog
from raft_testbed.mutation import rewrite

rewrite(
    ReplicatedLog.fill,
    "self._handed_out = state.commit_index",
    "self._handed_out = max(self._handed_out, state.commit_index - 1)",
)
