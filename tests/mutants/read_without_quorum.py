"""A leader serves reads without confirming its leadership (dissertation §6.4)."""

from raft_pkg.core.reads import ReadQueue
from raft_testbed.mutation import rewrite

rewrite(ReadQueue.take_confirmed, "acknowledged_round < self._reads_round", "False")
