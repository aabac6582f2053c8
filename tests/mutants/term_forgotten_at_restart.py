"""After a restart, a node is in the term of its last entry (Figure 2: currentTerm is persistent)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft.__init__,
    "self._replication = ...",
    """
self._replication = ...
self._state.current_term = entries[-1].term if entries else base[1]
""",
)
