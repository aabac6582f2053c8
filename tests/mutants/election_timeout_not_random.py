"""All nodes wait equally long, so that votes split again and again (§5.2)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._reset_election_timer, "self._random.uniform(...)", "self.config.election_timeout_min")
