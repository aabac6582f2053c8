"""A node votes for every candidate that asks in a term (§5.2)."""

from raft_pkg.core.elections import Elections
from raft_testbed.mutation import rewrite

rewrite(Elections.handle_request_vote, "state.voted_for in (None, candidate)", "True")
