"""What waiters wait for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.client_services import Waiter
from raft_pkg.rpc.requests import RequestType, request_count

ENTRY_BYTES_MAX = 1024 * 1024
"""Commands travel in one log entry up to so many bytes; one command may have more."""
COMMAND_OVERHEAD_BYTES = 64
"""What a command counts for besides its own bytes: empty ones take room too, in memory and in an entry."""


@dataclass(slots=True)
class PendingRequests:
    """Requests of one kind that a waiter waits for, with consecutive ids. They are proposed or read together."""

    waiter: Waiter
    first_id: int
    bodies: Sequence[bytes]
    """Commands or queries; an empty one for a session that is to be opened."""
    size: int
    """Bytes that they count for while they wait."""
    session_id: int = 0
    first_sequence: int = 0
    acknowledged: int = 0

    @classmethod
    def of(
        cls, waiter: Waiter, request: pb.Request, kind: RequestType | None, session_id: int, acknowledged: int
    ) -> "PendingRequests":
        """Return the pending form of a request; `session_id` and `acknowledged` are those of its `RequestBatch`."""
        has_bodies = kind in ("commands", "queries")
        bodies = list(request.commands or request.queries) if has_bodies else [b""] * request_count(request)
        pending = cls(waiter, request.id, bodies, size_of(bodies))
        if kind == "commands" and session_id:
            pending.session_id, pending.first_sequence, pending.acknowledged = (
                session_id,
                request.sequence,
                acknowledged,
            )
        return pending

    def __len__(self) -> int:
        return len(self.bodies)

    def chunks(self) -> Iterator["PendingRequests"]:
        """The same as parts that each fit into an entry; a body that is too large is alone."""
        if self.size <= ENTRY_BYTES_MAX or len(self) == 1:
            yield self
            return
        start = size = 0
        for place, body in enumerate(self.bodies):
            its_size = len(body) + COMMAND_OVERHEAD_BYTES
            if size and size + its_size > ENTRY_BYTES_MAX:
                yield self._chunk(start, place, size)
                start, size = place, 0
            size += its_size
        yield self._chunk(start, len(self), size)

    def _chunk(self, start: int, stop: int, size: int) -> "PendingRequests":
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
    """Bytes that they count for while they wait."""
    return sum(map(len, bodies)) + COMMAND_OVERHEAD_BYTES * len(bodies)
