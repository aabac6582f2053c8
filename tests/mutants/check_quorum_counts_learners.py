"""A leader that only learners answer believes itself in touch (dissertation §6.2, a quorum)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft._tick_leader,
    "self._reached_by_quorum(...)",
    "sorted([now, *(progress.heard_at for progress in self.progress.values())])[-self.quorum]",
)
