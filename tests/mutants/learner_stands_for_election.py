"""A learner that hears from no leader stands for election (dissertation §4.2.1)."""

from raft_pkg.core.raft import Raft
from raft_pkg.simulation.mutation import rewrite

rewrite(
    Raft._go_by_configuration,
    "configuration.votes(self.node_id, self.incarnation)",
    "configuration.member(self.node_id) is not None",
)
