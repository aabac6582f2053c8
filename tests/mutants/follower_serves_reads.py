"""A follower serves reads from its state, without the leader."""

from raft_pkg.server.reads import Reads
from raft_testbed.mutation import rewrite

rewrite(
    Reads._request,
    "self._in_flight.fail_not_leader(queries)",
    """
for pending in queries:
    results = [self._applier.query(body) for body in pending.bodies]
    self._in_flight.complete(pending, outcomes.of_results(pending.first_id, results, self._applier.index))
""",
)
