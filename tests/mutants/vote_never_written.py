"""A vote is never written, only the term: who restarts has voted for nobody (Figure 2, votedFor is persistent)."""

from raft_pkg.server.node import Node
from raft_pkg.simulation.mutation import rewrite

rewrite(
    Node._write,
    "hard_state = output.hard_state\n",
    "hard_state = output.hard_state and type(output.hard_state)(output.hard_state.current_term)\n",
)
