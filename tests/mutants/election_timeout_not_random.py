"""All nodes wait equally long, so that votes split again and again (§5.2)."""

from raft_pkg.core.elections import Elections
from raft_testbed.mutation import rewrite

rewrite(Elections.reset_timer, "self._state.random.uniform(...)", "config.election_timeout_min")
