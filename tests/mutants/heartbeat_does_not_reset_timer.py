"""The leader's messages do not reset a follower's election timer (§5.2)."""

from raft_pkg.core.elections import Elections
from raft_testbed.mutation import rewrite

rewrite(Elections.record_leader_contact, "self.reset_timer()", "")
