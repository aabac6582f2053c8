"""A snapshot's index is one lower than the applied index, so an entry is applied again (§7)."""

from raft_pkg.server.snapshots import Snapshots
from raft_testbed.mutation import rewrite

rewrite(
    Snapshots._begin,
    "self._chunks = self._machine.snapshot()",
    """
self._chunks = self._machine.snapshot()
applied_index -= 1
term = raft.log.term_at(applied_index) or term
""",
)
