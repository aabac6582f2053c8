"""Linearizable reads: queries wait for a ReadIndex of the core, then for the state machine to reach it (§8)."""

from collections.abc import Iterator

from raft_pkg.core.errors import InvariantError, NotLeaderError
from raft_pkg.core.raft import Raft
from raft_pkg.server import outcomes
from raft_pkg.server.applier import Applier
from raft_pkg.server.in_flight import InFlightRequests
from raft_pkg.server.pending import PendingRequests


class Reads:
    """Owns the queued queries and those that wait for the core."""

    def __init__(self, raft: Raft, applier: Applier, in_flight: InFlightRequests) -> None:
        self._raft = raft
        self._applier = applier
        self._in_flight = in_flight
        self._queries: list[PendingRequests] = []
        self._follower_queries: list[PendingRequests] = []
        """Queries that a follower may answer as well."""
        self._pending: dict[int, list[PendingRequests]] = {}
        """Queries by the id of their ReadIndex request."""

    def add(self, queries: PendingRequests, *, any_node: bool) -> None:
        """Queue admitted queries; with `any_node` a follower may answer them."""
        (self._follower_queries if any_node else self._queries).append(queries)

    @property
    def has_queries(self) -> bool:
        """Whether queries are queued."""
        return bool(self._queries or self._follower_queries)

    def request(self) -> None:
        """Ask the core for one ReadIndex for all queued queries of each sort; fail them if this node can't serve it."""
        queries, self._queries = self._queries, []
        self._request(queries, any_node=False)
        queries, self._follower_queries = self._follower_queries, []
        self._request(queries, any_node=True)

    def complete(self, request_id: int, index: int) -> None:
        """Answer the queries of a ReadIndex request; the state machine has reached its index."""
        if self._applier.index < index:
            raise InvariantError(
                f"read {request_id} requires index {index}, but only {self._applier.index} has been applied"
            )
        query = self._applier.query
        results = [[query(body) for body in pending.bodies] for pending in self._pending[request_id]]
        for pending, its_results in zip(self._pending.pop(request_id), results, strict=True):
            self._in_flight.complete(pending, outcomes.of_results(pending.first_id, its_results, self._applier.index))

    def fail(self, request_id: int) -> None:
        """Fail the queries of a ReadIndex request with NOT_LEADER."""
        self._in_flight.fail_not_leader(self._pending.pop(request_id))

    def pending(self) -> Iterator[PendingRequests]:
        """Yield all queries that were not answered."""
        yield from self._queries
        yield from self._follower_queries
        for queries in self._pending.values():
            yield from queries

    def _request(self, queries: list[PendingRequests], *, any_node: bool) -> None:
        if not queries:
            return
        try:
            self._pending[self._raft.read_index(any_node=any_node)] = queries
        except NotLeaderError:
            self._in_flight.fail_not_leader(queries)
