"""One copy fewer than a majority commits (§5.3)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft._advance_commit_index,
    "majority_index = self._reached_by_quorum(...)",
    """
held = [self._durable_index, *(self.progress[v].match_index for v in self.voters if v in self.progress)]
majority_index = sorted(held)[-max(self.quorum - 1, 1)]
""",
)
