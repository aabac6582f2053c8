"""A new leader answers reads before it knows what is committed (dissertation §6.4, step 1)."""

from raft_pkg.core.raft import Raft
from raft_pkg.simulation.mutation import rewrite

rewrite(Raft._send_to_followers, "self.log.term_at(self.commit_index) == self.current_term and ", "")
