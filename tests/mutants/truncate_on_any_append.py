"""A follower truncates its log at any AppendEntries, even without a conflict (§5.3)."""

from raft_pkg.core.replicated_log import ReplicatedLog
from raft_testbed.mutation import rewrite

rewrite(ReplicatedLog.store, "found_term == entry.term", "found_term == entry.term and entry is not entries[0]")
