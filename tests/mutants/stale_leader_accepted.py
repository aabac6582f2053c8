"""A follower accepts entries from a leader of an earlier term (Figure 2, AppendEntries receiver, step 1)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft.receive,
    "message.term < state.current_term",
    "message.term < state.current_term and type(message.body).__name__ != 'AppendEntries'",
)
