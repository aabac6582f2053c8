"""A follower answers reads from what it has."""

from raft_pkg.server.node import Node
from raft_testbed.simulation.mutation import rewrite

rewrite(
    Node._request_read,
    "            self._refuse_not_leader(queries)\n",
    "            for pending in queries:\n"
    "                results = [self._machine.query(body) for body in pending.bodies]\n"
    "                for outcome in outcomes.of_results(pending.first_id, results, self.applied_index):\n"
    "                    self._hand_over(pending.waiter, outcome)\n",
)
