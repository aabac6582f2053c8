"""The name of a new segment is not synced, so a power loss removes the file."""

from raft_pkg.storage._directory import DataDirectory
from raft_testbed.mutation import rewrite

rewrite(DataDirectory.create, "            self.sync()\n", "")
