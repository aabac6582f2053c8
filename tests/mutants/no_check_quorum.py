"""A leader without a quorum never steps down (dissertation §6.2)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._tick_leader, "self.config.check_quorum", "False")
