"""A deposed leader tells waiters 'surely not done' of entries that its successor may yet commit."""

from raft_pkg.server.node import Node
from raft_testbed.mutation import rewrite

rewrite(
    Node._apply_and_answer,
    """
for number in ready.failed_reads:
    ...
""",
    """
for place in list(self._pending_entries) if self.raft.role is not Role.LEADER else ():
    self._refuse_not_leader(self._pending_entries.pop(place))
for number in ready.failed_reads:
    ...
""",
)
