"""Who hears that its leader's process has ended helps to replace it, though that one may have a lease (§6.4.1)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft.peer_unreachable, "not self._leader_has_lease", "True")
