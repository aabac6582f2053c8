"""A learner's copy counts for a majority (dissertation §4.2.1)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft._advance_commit_index,
    "majority_index = self._reached_by_quorum(...)",
    """
held = [self._durable_index, *(progress.match_index for progress in self.progress.values())]
majority_index = sorted(held)[-self.quorum]
""",
)
