"""A new leader changes the members before it has committed in its own term."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._why_no_change_now, "not self._has_committed_in_own_term()", "False")
