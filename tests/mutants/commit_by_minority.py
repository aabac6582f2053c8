"""One copy fewer than a majority commits (§5.3)."""

from raft_pkg.core.raft import Raft
from raft_pkg.simulation.mutation import rewrite

rewrite(Raft._held_by_quorum, "numbers[self.quorum - 1]", "numbers[max(self.quorum - 2, 0)]")
