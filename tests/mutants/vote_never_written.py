"""A vote is never written, only the term (Figure 2: votedFor is persistent)."""

from raft_pkg.server.node import Node
from raft_testbed.mutation import rewrite

rewrite(
    Node._write,
    "hard_state = ready.hard_state",
    "hard_state = ready.hard_state and type(ready.hard_state)(ready.hard_state.current_term)",
)
