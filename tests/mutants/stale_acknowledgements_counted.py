"""A leader counts acknowledgements of an earlier term (§5.1)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft.receive,
    "message.term < state.current_term",
    "message.term < state.current_term and type(message.body).__name__ != 'AppendEntriesReply'",
)
