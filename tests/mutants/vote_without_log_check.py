"""A node votes for a candidate whose log lacks committed entries (§5.4.1)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._handle_pre_vote, "self.log.is_up_to_date(...)", "True")
rewrite(Raft._handle_request_vote, "self.log.is_up_to_date(...)", "True")
