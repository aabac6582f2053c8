"""Whoever loses any connection stands for election, although it hears from its leader (§5.2)."""

from raft_pkg.core.raft import Raft
from raft_pkg.simulation.mutation import rewrite

rewrite(Raft.connection_lost, "peer != self.leader or ", "")
