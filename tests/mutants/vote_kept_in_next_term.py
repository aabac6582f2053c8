"""A node takes its vote along into the next term (Figure 2, votedFor is of currentTerm)."""

from raft_pkg.core.elections import Elections
from raft_testbed.mutation import rewrite

rewrite(Elections.become_follower, "self._state.voted_for = None", "")
