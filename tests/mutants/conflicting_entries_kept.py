"""A follower keeps entries that conflict with the leader's (§5.3)."""

from raft_pkg.core.replicated_log import ReplicatedLog
from raft_testbed.mutation import rewrite

rewrite(ReplicatedLog.store, "found_term == entry.term", "found_term is not None")
