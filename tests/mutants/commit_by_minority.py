"""One copy fewer than a majority commits an entry (§5.3)."""

from raft_pkg.core.replication import Replication
from raft_testbed.mutation import rewrite

rewrite(
    Replication.advance_commit_index,
    "majority_index = self._configuration.reached_by_quorum(...)",
    """
voters = self._configuration.voters
held = [self._log.durable_index, *(self.progress[v].match_index for v in voters if v in self.progress)]
majority_index = sorted(held)[-max(self._configuration.quorum - 1, 1)]
""",
)
