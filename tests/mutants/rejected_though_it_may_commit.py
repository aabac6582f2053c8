"""A deposed leader completes pending commands with NOT_LEADER, although its successor may commit them."""

from raft_pkg.server.node import Node
from raft_testbed.mutation import rewrite

rewrite(
    Node._apply_and_answer,
    """
for request_id in ready.failed_reads:
    ...
""",
    """
for position in list(self._proposals._pending_entries) if self.raft.role is not Role.LEADER else ():
    self._in_flight.fail_not_leader(self._proposals._pending_entries.pop(position))
for request_id in ready.failed_reads:
    ...
""",
)
