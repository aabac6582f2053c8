"""A node replies before its state is durable (Figure 2: stable storage before responding)."""

from raft_pkg.server.node import Node
from raft_testbed.mutation import rewrite

rewrite(
    Node._carry_out,
    "self._transport.send(ready.early_messages)",
    """
self._transport.send([*ready.early_messages, *ready.messages])
ready.messages.clear()
""",
)
