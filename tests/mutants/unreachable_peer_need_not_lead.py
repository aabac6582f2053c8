"""A report that any peer is unreachable shortens the election timer, although the leader is alive (§5.2)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft.peer_unreachable, "peer == self.leader", "True")
