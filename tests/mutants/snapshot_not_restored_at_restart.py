"""After a restart, the state machine is empty instead of restored from the snapshot."""

from raft_pkg.server.node import Node
from raft_testbed.mutation import rewrite

rewrite(
    Node.__init__,
    """
if recovered.snapshot is not None:
    ...
""",
    "",
)
