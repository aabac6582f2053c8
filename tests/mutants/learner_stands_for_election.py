"""A learner that hears from no leader stands for election (dissertation §4.2.1)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft._may_campaign,
    "return self.is_voter\n",
    "return self.node_id in self._incarnations\n",
)
