"""After a restart, the newer half of the log is missing (Figure 2: log[] is persistent)."""

from raft_pkg.server.node import Node
from raft_testbed.mutation import rewrite

rewrite(Node.__init__, "recovered.entries", "recovered.entries[: (len(recovered.entries) + 1) // 2]")
