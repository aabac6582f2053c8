"""A snapshot is committed before its name is durable."""

from raft_pkg.storage._snapshot import NewSnapshot
from raft_testbed.mutation import rewrite

rewrite(
    NewSnapshot.finish,
    "        self._directory.sync()\n",
    "",
)
