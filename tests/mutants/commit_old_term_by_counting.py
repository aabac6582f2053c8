"""A leader commits an entry of an earlier term as soon as a majority has it (§5.4.2, Figure 8)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._advance_commit_index, "self.log.term_at(majority_index) == self.current_term", "True")
