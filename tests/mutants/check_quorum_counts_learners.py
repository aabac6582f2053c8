"""A leader counts learners for check quorum (dissertation §6.2: a quorum of voters)."""

from raft_pkg.core.replication import Replication
from raft_testbed.mutation import rewrite

rewrite(
    Replication.has_lost_quorum,
    "self._configuration.reached_by_quorum(...)",
    "sorted([now, *(progress.last_contact for progress in self.progress.values())])[-self._configuration.quorum]",
)
