"""Entries that replace conflicting ones are not written to disk."""

from raft_pkg.core.replicated_log import ReplicatedLog
from raft_testbed.mutation import rewrite

rewrite(ReplicatedLog._truncate_from, "self._first_unsaved = min(self._first_unsaved, index)", "")
