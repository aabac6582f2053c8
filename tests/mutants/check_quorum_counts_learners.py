"""A leader that only learners answer believes itself in touch (dissertation §6.2, a quorum)."""

from raft_pkg.core.replication import Replication
from raft_testbed.mutation import rewrite

rewrite(
    Replication.has_lost_quorum,
    "self._configuration.reached_by_quorum(...)",
    "sorted([now, *(progress.heard_at for progress in self.progress.values())])[-self._configuration.quorum]",
)
