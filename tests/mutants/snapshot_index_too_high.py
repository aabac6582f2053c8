"""A snapshot's index is one higher than the applied index (§7)."""

from raft_pkg.server.snapshots import Snapshots
from raft_testbed.mutation import rewrite

rewrite(
    Snapshots._begin,
    "self._storage.begin_snapshot(applied_index, ..., raft.configuration_at(applied_index))",
    """
self._storage.begin_snapshot(
    min(applied_index + 1, raft.log.last_index), ..., raft.configuration_at(applied_index)
)
""",
)
