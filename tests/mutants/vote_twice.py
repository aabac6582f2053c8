"""A node votes for every candidate that asks, also a second one in the same term (§5.2)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._handle_request_vote, "self.voted_for in (None, candidate)", "True")
