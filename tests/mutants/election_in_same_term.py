"""A candidate does not begin a new term (§5.2)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._start_election, "self.current_term += 1", "self.current_term = max(1, self.current_term)")
