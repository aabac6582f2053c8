"""A leader that is not in C_new does not step down when C_new is committed (§6)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._configuration_committed, "not self.is_voter", "False")
