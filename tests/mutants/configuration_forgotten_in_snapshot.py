"""A snapshot has an empty configuration (§7, Figure 13)."""

from raft_pkg.server.snapshots import Snapshots
from raft_testbed.mutation import rewrite

rewrite(
    Snapshots._begin,
    "raft.configuration_at(applied_index)",
    "type(raft.configuration)()",
)
