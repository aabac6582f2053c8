"""Each node expires sessions by its own clock, not by log time."""

from raft_pkg.server.applier import Applier
from raft_pkg.server.node import Node
from raft_testbed.mutation import rewrite

rewrite(
    Node.__init__,
    "self._administration = Administration(self.raft)",
    """
self._administration = Administration(self.raft)
self._applier.wall_clock = wall_clock
""",
)
rewrite(
    Applier._apply_to_machine,
    "return self._machine.apply(pb.CommandEntry.FromString(entry.data), entry.index), 0",
    """
batch = pb.CommandEntry.FromString(entry.data)
batch.time_ms = int(self.wall_clock() * 1000)
return self._machine.apply(batch, entry.index), 0
""",
)
