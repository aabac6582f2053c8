"""A node answers before what it promises is on disk (Figure 2: stable storage before responding)."""

from raft_pkg.server.node import Node
from raft_pkg.simulation.mutation import rewrite

rewrite(
    Node._carry_out,
    "self._transport.send(output.early_messages)",
    "self._transport.send([*output.early_messages, *output.messages])\n        output.messages.clear()",
)
