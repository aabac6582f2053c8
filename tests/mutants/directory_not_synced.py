"""A new segment's name is not synced: a power loss takes the whole file."""

from raft_pkg.simulation.mutation import rewrite
from raft_pkg.storage._directory import DataDirectory

rewrite(DataDirectory.create, "            self.sync()\n", "")
