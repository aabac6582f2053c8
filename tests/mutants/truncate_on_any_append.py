"""A follower cuts its log where an AppendEntries begins, also where nothing conflicts (§5.3)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._store, "found_term == entry.term", "found_term == entry.term and entry is not entries[0]")
