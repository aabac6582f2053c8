"""One vote fewer than a majority elects a leader (§5.2)."""

from raft_pkg.core.elections import Elections
from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Elections.handle_request_vote_reply,
    "self.has_majority()",
    "sum(self._votes.values()) >= self._configuration.quorum - 1",
)
rewrite(
    Raft._start_election, "self._elections.has_majority()", "sum(self._elections._votes.values()) >= self.quorum - 1"
)
