"""A learner's vote counts for a majority (dissertation §4.2.1)."""

from raft_pkg.core.raft import Raft
from raft_testbed.simulation.mutation import rewrite

rewrite(
    Raft._has_majority_of_votes,
    "self._electorate.agreed(lambda voter: self._votes.get(voter, False))",
    "sum(self._votes.values()) >= self.quorum",
)
