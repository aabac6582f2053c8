"""A learner's copy counts for a majority (dissertation §4.2.1)."""

from raft_pkg.core.replication import Replication
from raft_testbed.mutation import rewrite

rewrite(
    Replication.advance_commit_index,
    "majority_index = self._configuration.reached_by_quorum(...)",
    """
held = [self._log.durable_index, *(progress.match_index for progress in self.progress.values())]
majority_index = sorted(held)[-self._configuration.quorum]
""",
)
