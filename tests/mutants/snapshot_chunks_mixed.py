"""A leader with a newer snapshot continues at the offset that it had reached in the older one."""

from raft_pkg.core.progress import Progress
from raft_testbed.mutation import rewrite

rewrite(Progress.begin_snapshot, "self.snapshot != snapshot", "self.snapshot is None")
