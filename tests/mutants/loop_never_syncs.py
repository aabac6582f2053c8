"""The event loop writes and never syncs."""

from raft_pkg.server.node import Node
from raft_testbed.mutation import rewrite

rewrite(Node._carry_out, "            self._storage.sync()\n", "")
