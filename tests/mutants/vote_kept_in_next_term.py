"""A node takes its vote along into the next term (Figure 2, votedFor is of currentTerm)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._become_follower, "            self.voted_for = None\n", "")
