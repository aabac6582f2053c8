"""A candidate counts answers, not votes (§5.2)."""

from raft_pkg.core.raft import Raft
from raft_pkg.simulation.mutation import rewrite

rewrite(Raft._maybe_become_leader, "sum(self._votes.values())", "len(self._votes)")
