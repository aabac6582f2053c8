"""A candidate asks former members too, and counts their votes (§6)."""

from raft_pkg.core.raft import Raft
from raft_testbed.simulation.mutation import rewrite

rewrite(
    Raft._use_effective_configuration,
    "self._incarnations = {member",
    'self._incarnations = getattr(self, "_incarnations", {}) | {member',
)
rewrite(
    Raft._has_majority_of_votes,
    "self._electorate.agreed(lambda voter: self._votes.get(voter, False))",
    "sum(self._votes.values()) >= self.quorum",
)
