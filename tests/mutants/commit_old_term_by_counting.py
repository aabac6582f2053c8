"""A leader commits an entry of an earlier term by counting copies (§5.4.2, Figure 8)."""

from raft_pkg.core.replication import Replication
from raft_testbed.mutation import rewrite

rewrite(Replication.advance_commit_index, "state.log.term_at(majority_index) != state.current_term", "False")
