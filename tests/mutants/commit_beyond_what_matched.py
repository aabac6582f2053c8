"""A follower commits up to leaderCommit though its own log may differ there (Figure 2, step 5)."""

from raft_pkg.core.follower import Follower
from raft_testbed.mutation import rewrite

rewrite(
    Follower.handle_append_entries,
    "min(request.leader_commit, last_new_index)",
    "min(request.leader_commit, state.log.last_index)",
)
