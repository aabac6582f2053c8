"""A node keeps its vote when its term changes (Figure 2: votedFor is in currentTerm)."""

from raft_pkg.core.elections import Elections
from raft_testbed.mutation import rewrite

rewrite(Elections.become_follower, "self._state.voted_for = None", "")
