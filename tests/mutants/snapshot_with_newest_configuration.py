"""A snapshot has the newest configuration, which may be above its index and never be committed (§7)."""

from raft_pkg.server.snapshots import Snapshots
from raft_testbed.mutation import rewrite

rewrite(
    Snapshots._begin,
    "raft.configuration_at(applied_index)",
    "raft.configuration",
)
