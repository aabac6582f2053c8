"""After a restart, a node has no vote in its term (Figure 2: votedFor is persistent)."""

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
