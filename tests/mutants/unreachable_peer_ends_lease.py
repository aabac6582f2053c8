"""A report that the leader is unreachable ends stickiness, although the leader may have a lease (§6.4.1)."""

from raft_pkg.core.elections import Elections
from raft_testbed.mutation import rewrite

rewrite(Elections.leader_unreachable, "self._leader_has_lease", "False")
