"""A snapshot has the newest configuration of the log, which may be beyond its index (§7)."""

from raft_pkg.server.snapshots import Snapshots
from raft_testbed.mutation import rewrite

rewrite(
    Snapshots._begin,
    "raft.configuration_at(applied_index)",
    "raft.configuration",
)
