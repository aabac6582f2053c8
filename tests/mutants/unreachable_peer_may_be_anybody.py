"""Whoever hears that any process has ended stands for election, although it hears from its leader (§5.2)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft.peer_unreachable, "peer == self.leader", "True")
