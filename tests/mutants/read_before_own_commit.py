"""A new leader answers reads before it knows what is committed (dissertation §6.4, step 1)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft._begin_reads,
    "        if not self._has_committed_in_own_term():\n            return False\n",
    "",
)
