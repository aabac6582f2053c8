"""All nodes have the same election time-out, so votes split repeatedly (§5.2)."""

from raft_pkg.core.elections import Elections
from raft_testbed.mutation import rewrite

rewrite(Elections.reset_timer, "self._state.random.uniform(...)", "config.election_timeout_min")
