"""A voter helps a pre-candidate although it hears from a leader (dissertation §9.6, §4.2.3)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._handle_pre_vote, "self._in_lease(now)", "False")
