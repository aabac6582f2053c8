"""A learner's vote counts for a majority (dissertation §4.2.1)."""

from raft_pkg.core.elections import Elections
from raft_testbed.mutation import rewrite

rewrite(
    Elections.has_majority, "self._configuration.agreed(...)", "sum(self._votes.values()) >= self._configuration.quorum"
)
