"""A follower accepts entries even if its previous entry has another term (§5.3)."""

from raft_pkg.core.follower import Follower
from raft_testbed.mutation import rewrite

rewrite(Follower.handle_append_entries, "found_term != request.prev_log_term", "found_term is None")
