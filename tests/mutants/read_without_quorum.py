"""A leader answers reads without asking anybody whether it still leads (dissertation §6.4)."""

from raft_pkg.core.reads import ReadQueue
from raft_testbed.mutation import rewrite

rewrite(ReadQueue.confirmed, "answered_round < self._under_way_round", "False")
