"""A leader counts acknowledgements of an earlier term (§5.1, stale messages are refused)."""

from raft_pkg.core.raft import Raft
from raft_testbed.simulation.mutation import rewrite

rewrite(
    Raft.receive,
    "elif message.term < self.current_term:",
    'elif message.term < self.current_term and type(message.body).__name__ != "AppendEntriesReply":',
)
