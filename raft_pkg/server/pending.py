"""Requests that wait for their outcomes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.client_services import Waiter
from raft_pkg.rpc.requests import RequestType, request_count

ENTRY_BYTES_MAX = 1024 * 1024
"""Limit on the bytes of commands in one log entry; a single larger command is allowed."""
COMMAND_OVERHEAD_BYTES = 64
"""Bytes that each command counts for in addition to its own: empty commands take memory and log space too."""


@dataclass(slots=True)
class PendingRequests:
    """Requests of one type and one waiter, with consecutive ids. They are proposed or read together."""

    waiter: Waiter
    first_id: int
    bodies: Sequence[bytes]
    """Commands or queries; one empty body for a request to open a session."""
    size: int
    """Bytes that the requests count for while they wait."""
    session_id: int = 0
    first_sequence: int = 0
    acknowledged: int = 0

    @classmethod
    def of(
        cls, waiter: Waiter, request: pb.Request, type_: RequestType | None, session_id: int, acknowledged: int
    ) -> "PendingRequests":
        """Return the pending form of a request; `session_id` and `acknowledged` are those of its `RequestBatch`."""
        has_bodies = type_ in ("commands", "queries")
        bodies = list(request.commands or request.queries) if has_bodies else [b""] * request_count(request)
        pending = cls(waiter, request.id, bodies, size_of(bodies))
        if type_ == "commands" and session_id:
            pending.session_id, pending.first_sequence, pending.acknowledged = (
                session_id,
                request.sequence,
                acknowledged,
            )
        return pending

    def __len__(self) -> int:
        return len(self.bodies)

    def split(self) -> Iterator["PendingRequests"]:
        """Yield the requests in batches that fit into one entry each; a larger body gets a batch of its own."""
        if self.size <= ENTRY_BYTES_MAX or len(self) == 1:
            yield self
            return
        start = size = 0
        for offset, body in enumerate(self.bodies):
            body_size = len(body) + COMMAND_OVERHEAD_BYTES
            if size and size + body_size > ENTRY_BYTES_MAX:
                yield self._batch(start, offset, size)
                start, size = offset, 0
            size += body_size
        yield self._batch(start, len(self), size)

    def _batch(self, start: int, stop: int, size: int) -> "PendingRequests":
        return PendingRequests(
            self.waiter,
            self.first_id + start,
            self.bodies[start:stop],
            size,
            self.session_id,
            self.first_sequence + start,
            self.acknowledged,
        )


def size_of(bodies: Sequence[bytes]) -> int:
    """Return the bytes that these bodies count for while they wait."""
    return sum(map(len, bodies)) + COMMAND_OVERHEAD_BYTES * len(bodies)
