"""A leader that has a newer snapshot goes on with its chunks where those of the older one ended."""

from raft_pkg.core.progress import Progress
from raft_testbed.simulation.mutation import rewrite

rewrite(
    Progress.needs_snapshot,
    "if self.snapshot != snapshot:",
    "if self.snapshot is None:",
)
