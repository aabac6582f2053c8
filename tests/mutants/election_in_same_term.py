"""A candidate does not increment its term (§5.2)."""

from raft_pkg.core.elections import Elections
from raft_testbed.mutation import rewrite

rewrite(
    Elections.become_candidate,
    "self._state.current_term += 1",
    "self._state.current_term = max(1, self._state.current_term)",
)
