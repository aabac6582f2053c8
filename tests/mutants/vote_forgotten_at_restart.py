"""After a restart a node does not know for whom it has voted (Figure 2, votedFor is persistent)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft.__init__,
    "self._replication = ...",
    """
self._replication = ...
self._state.voted_for = None
""",
)
