"""Entries are applied as soon as they are in the log (§5.3: only committed entries)."""

from raft_pkg.core.replicated_log import ReplicatedLog
from raft_testbed.mutation import rewrite

rewrite(
    ReplicatedLog.fill,
    "state.log.slice(self._handed_out + 1, state.commit_index + 1)",
    "state.log.slice(self._handed_out + 1, state.log.last_index + 1)",
)
