"""A candidate asks former members too, and counts their votes (§6)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft._use_effective_configuration,
    "self._incarnations = ...",
    "self._incarnations = getattr(self, '_incarnations', {}) | ...",
)
rewrite(Raft._has_majority_of_votes, "self._electorate.agreed(...)", "sum(self._votes.values()) >= self.quorum")
