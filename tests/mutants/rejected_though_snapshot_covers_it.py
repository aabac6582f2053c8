"""A deposed leader completes pending commands that a snapshot covers with NOT_LEADER."""

from raft_pkg.server.proposals import Proposals
from raft_testbed.mutation import rewrite

rewrite(
    Proposals.snapshot_installed,
    "pb.OUTCOME_CODE_UNKNOWN",
    "pb.OUTCOME_CODE_NOT_LEADER",
)
