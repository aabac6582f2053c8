"""A follower answers reads from what it has."""

from raft_pkg.server.node import Node
from raft_testbed.mutation import rewrite

rewrite(
    Node._request_read,
    "self._refuse_not_leader(queries)",
    """
for pending in queries:
    results = [self._machine.query(body) for body in pending.bodies]
    for outcome in outcomes.of_results(pending.first_id, results, self.applied_index):
        self._hand_over(pending.waiter, outcome)
""",
)
