"""A follower commits up to leaderCommit, beyond the entries that match the leader's log (Figure 2, step 5)."""

from raft_pkg.core.follower import Follower
from raft_testbed.mutation import rewrite

rewrite(
    Follower.handle_append_entries,
    "min(request.leader_commit, last_new_index)",
    "min(request.leader_commit, state.log.last_index)",
)
