"""A follower keeps what it has, also where the leader's entries conflict with it (§5.3)."""

from raft_pkg.core.replicated_log import ReplicatedLog
from raft_testbed.mutation import rewrite

rewrite(ReplicatedLog.store, "found_term == entry.term", "found_term is not None")
