"""Only entries are written; term and vote go along with the next ones."""

from raft_pkg.server.node import Node
from raft_pkg.simulation.mutation import rewrite

rewrite(
    Node._carry_out, "wrote = output.hard_state is not None or bool(output.entries)", "wrote = bool(output.entries)"
)
