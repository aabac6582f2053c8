"""Each node lets sessions expire by its own clock, not by log time: nodes disagree on which are there."""

from raft_pkg.server.node import Node
from raft_testbed.mutation import rewrite

rewrite(
    Node._apply_to_machine,
    "return self._machine.apply(pb.CommandEntry.FromString(entry.data), entry.index), 0",
    """
batch = pb.CommandEntry.FromString(entry.data)
batch.time_ms = self._time_ms()
return self._machine.apply(batch, entry.index), 0
""",
)
