"""A new segment's name is not synced: a power loss takes the whole file."""

from raft_pkg.storage._directory import DataDirectory
from raft_testbed.mutation import rewrite

rewrite(DataDirectory.create, "            self.sync()\n", "")
