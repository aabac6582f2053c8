"""A leader that has a newer snapshot goes on with its chunks where those of the older one ended."""

from raft_pkg.core.progress import Progress
from raft_testbed.mutation import rewrite

rewrite(Progress.begin_snapshot, "self.snapshot != snapshot", "self.snapshot is None")
