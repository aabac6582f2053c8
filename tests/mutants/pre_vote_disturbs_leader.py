"""A voter grants a pre-vote although it has a leader (dissertation §9.6, §4.2.3)."""

from raft_pkg.core.elections import Elections
from raft_testbed.mutation import rewrite

rewrite(Elections.handle_pre_vote, "self.in_lease()", "False")
