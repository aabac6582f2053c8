"""A follower acknowledges its whole log, not only the entries that match the request (§5.3)."""

from raft_pkg.core.follower import Follower
from raft_testbed.mutation import rewrite

rewrite(
    Follower.handle_append_entries,
    "AppendEntriesReply(True, match_index=last_new_index, read_round=request.read_round)",
    "AppendEntriesReply(True, match_index=state.log.last_index, read_round=request.read_round)",
)
