"""A new leader changes the members before it has committed in its own term."""

from raft_pkg.core.raft import Raft
from raft_testbed.simulation.mutation import rewrite

rewrite(
    Raft._why_no_change_now,
    "if not self._has_committed_in_own_term():",
    "if False:",
)
