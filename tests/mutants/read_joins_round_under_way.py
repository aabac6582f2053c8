"""A read is confirmed by heartbeats that were sent before it arrived (dissertation §6.4, step 3)."""

from raft_pkg.core.reads import ReadQueue
from raft_testbed.mutation import rewrite

rewrite(
    ReadQueue.begin_round,
    """
if not self._waiting or self._in_round:
    ...
""",
    """
if self._in_round:
    self._in_round += self._waiting
    self._waiting = []
if not self._waiting:
    ...
""",
)
