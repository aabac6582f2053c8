"""Compaction removes one entry more than the snapshot covers (§7)."""

from raft_pkg.core.replicated_log import ReplicatedLog
from raft_pkg.storage.file import FileStorage
from raft_testbed.mutation import rewrite

rewrite(ReplicatedLog.compact, "state.log.tail_base(...)", "min(snapshot.index + 1, state.log.last_index)")
rewrite(
    FileStorage.compact,
    "        check_compact(self._snapshot_index, index)\n",
    "",
)
