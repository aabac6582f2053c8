"""A leader that nobody answers goes on for ever (dissertation §6.2)."""

from raft_pkg.core.raft import Raft
from raft_testbed.simulation.mutation import rewrite

rewrite(Raft._tick_leader, "if self.config.check_quorum and now", "if False and now")
