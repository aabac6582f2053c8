"""A leader does not decrement nextIndex after a rejection (§5.3)."""

from raft_pkg.core.replication import Replication
from raft_testbed.mutation import rewrite

rewrite(
    Replication.handle_append_entries_reply,
    "progress.rejected(self._back_up(reply))",
    "progress.rejected(progress.next_index)",
)
