"""A follower cuts its log where an AppendEntries begins, also where nothing conflicts (§5.3)."""

from raft_pkg.core.replicated_log import ReplicatedLog
from raft_testbed.mutation import rewrite

rewrite(ReplicatedLog.store, "found_term == entry.term", "found_term == entry.term and entry is not entries[0]")
