"""Entries that replace conflicting ones are not written to disk."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._truncate_from, "        self._first_unsaved = min(self._first_unsaved, index)\n", "")
