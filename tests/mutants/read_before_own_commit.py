"""A new leader serves reads before it has committed an entry of its term (dissertation §6.4, step 1)."""

from raft_pkg.core.read_index import LeaderReads
from raft_testbed.mutation import rewrite

rewrite(LeaderReads.begin_round, "not self._state.has_committed_in_own_term", "False")
