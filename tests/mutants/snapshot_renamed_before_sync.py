"""A snapshot gets its name before its content is durable."""

from raft_pkg.storage._snapshot import NewSnapshot
from raft_testbed.mutation import rewrite

rewrite(
    NewSnapshot.finish,
    "        self._filesystem.sync_file(self._descriptor)\n",
    "",
)
