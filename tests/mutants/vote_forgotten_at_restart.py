"""After a restart a node does not know for whom it has voted (Figure 2, votedFor is persistent)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft.__init__, "self.voted_for = hard_state.voted_for", "self.voted_for = None")
