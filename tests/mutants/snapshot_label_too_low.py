"""A snapshot says that it holds one entry fewer than was applied: that one is applied again (§7)."""

from raft_pkg.server.snapshots import Snapshots
from raft_testbed.simulation.mutation import rewrite

rewrite(
    Snapshots._begin,
    "        self._chunks = self._machine.snapshot()\n",
    "        self._chunks = self._machine.snapshot()\n"
    "        applied_index -= 1\n"
    "        term = raft.log.term_at(applied_index) or term\n",
)
