"""A lease has no margin for clock drift (dissertation §6.4.1)."""

from raft_pkg.core.read_index import LeaderReads
from raft_testbed.mutation import rewrite

rewrite(LeaderReads.confirm, "1 - config.clock_drift_max", "1")
