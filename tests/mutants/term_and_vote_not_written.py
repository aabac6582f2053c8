"""Term and vote are written only together with entries."""

from raft_pkg.server.node import Node
from raft_testbed.mutation import rewrite

rewrite(Node._write, "hard_state is not None or ready.entries", "ready.entries")
