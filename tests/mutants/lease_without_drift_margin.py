"""A lease lasts as long as if all clocks ran at the same rate (dissertation §6.4.1)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._confirm_reads, "1 - self.config.clock_drift_max", "1")
