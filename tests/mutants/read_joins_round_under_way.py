"""A read is confirmed by heartbeats that left before it came (dissertation §6.4, step 3)."""

from raft_pkg.core.reads import ReadQueue
from raft_testbed.simulation.mutation import rewrite

rewrite(
    ReadQueue.begin_round,
    "        if not self._waiting or self._under_way:\n",
    "        if self._under_way:\n"
    "            self._under_way += self._waiting\n"
    "            self._waiting = []\n"
    "        if not self._waiting:\n",
)
