"""A learner's vote counts for a majority (dissertation §4.2.1)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._has_majority_of_votes, "self._electorate.agreed(...)", "sum(self._votes.values()) >= self.quorum")
