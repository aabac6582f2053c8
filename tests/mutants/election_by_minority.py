"""One vote fewer than a majority elects (§5.2)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft._maybe_become_leader,
    "self._has_majority_of_votes()",
    "sum(self._votes.values()) >= self.quorum - 1",
)
