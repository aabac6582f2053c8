"""A deposed leader tells waiters 'surely not done' of entries that a snapshot took the place of."""

from raft_pkg.server.proposals import Proposals
from raft_testbed.mutation import rewrite

rewrite(
    Proposals.snapshot_installed,
    "pb.OUTCOME_CODE_UNKNOWN",
    "pb.OUTCOME_CODE_NOT_LEADER",
)
