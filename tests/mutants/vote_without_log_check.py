"""A node votes for a candidate whose log lacks committed entries (§5.4.1)."""

from raft_pkg.core.elections import Elections
from raft_testbed.mutation import rewrite

rewrite(Elections.handle_pre_vote, "state.log.is_up_to_date(...)", "True")
rewrite(Elections.handle_request_vote, "state.log.is_up_to_date(...)", "True")
