"""The log loses one entry more than the snapshot replaces (§7)."""

from raft_pkg.core.raft import Raft
from raft_pkg.storage.file import FileStorage
from raft_testbed.mutation import rewrite

rewrite(
    Raft.snapshot_taken,
    "self.log.tail(snapshot.index, self.config.tail_entries_max, self.config.tail_bytes_max)",
    "min(snapshot.index + 1, self.log.last_index)",
)
rewrite(
    FileStorage.compact,
    "        check_compact(self._snapshot_index, index)\n",
    "",
)
