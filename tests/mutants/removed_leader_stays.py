"""A leader that is not in C_new leads on when that is committed (§6)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._configuration_committed, "not self.is_voter", "False")
