"""A leader without a quorum stays leader, and serves reads from its state (dissertation §6.2, §6.4)."""

from raft_pkg.core.raft import Raft
from raft_pkg.core.reads import ReadQueue
from raft_testbed.mutation import rewrite

rewrite(Raft._tick_leader, "self.config.check_quorum", "False")
rewrite(ReadQueue.take_confirmed, "acknowledged_round < self._reads_round", "False")
