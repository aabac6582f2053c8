"""A leader serves reads by its lease after it has sent TimeoutNow (dissertation §6.4.1)."""

from raft_pkg.core.transfer import LeadershipTransfer
from raft_testbed.mutation import rewrite

rewrite(LeadershipTransfer.send_timeout_now, "self._reads.revoke_lease()", "")
