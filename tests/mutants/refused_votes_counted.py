"""A candidate counts all replies as votes (§5.2)."""

from raft_pkg.core.elections import Elections
from raft_testbed.mutation import rewrite

rewrite(
    Elections.handle_request_vote_reply, "self.has_majority()", "self._configuration.agreed(self._votes.__contains__)"
)
