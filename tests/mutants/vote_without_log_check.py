"""A node votes for a candidate whose log lacks committed entries (§5.4.1)."""

from raft_pkg.core.raft import Raft
from raft_testbed.simulation.mutation import rewrite

CHECK = "self.log.is_up_to_date(request.last_log_index, request.last_log_term)"
rewrite(Raft._handle_pre_vote, CHECK, "True")
rewrite(
    Raft._handle_request_vote,
    " and self.log.is_up_to_date(\n            request.last_log_index, request.last_log_term\n        )",
    "",
)
