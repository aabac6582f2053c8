"""A follower stands for election although it hears from its leader (§5.2)."""

from raft_pkg.core.elections import Elections
from raft_testbed.mutation import rewrite

rewrite(Elections.leader_heard, "self.reset_timer()", "")
