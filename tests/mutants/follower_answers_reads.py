"""A follower answers reads from what it has."""

from raft_pkg.server.node import Node
from raft_pkg.simulation.mutation import rewrite

rewrite(
    Node._request_read,
    "            self._refuse_not_leader(queries)\n",
    "            for pending in queries:\n"
    "                self._settle_ok(pending, self._machine.query(pending.command), self.applied_index)\n",
)
