"""A leader that has ordered another's election answers reads by its lease (dissertation §6.4.1)."""

from raft_pkg.core.transfer import LeadershipTransfer
from raft_testbed.mutation import rewrite

rewrite(LeadershipTransfer.send_timeout_now, "self._reads.revoke_lease()", "")
