"""Requests, outcomes and session limits of a command stream, shared by clients and servers.

A `Request` stands for one request, or for several with consecutive ids; so does an `Outcome`.
"""

from collections.abc import Iterator
from typing import Literal

from raft_pkg.rpc import raft_pb2 as pb

RequestType = Literal["commands", "queries", "open_session"]

SESSION_TTL_SECONDS = 600.0
"""Default time to live of a session, in log time since its last command (dissertation §6.3). Operations time out much
earlier."""
SESSION_RESPONSES_MAX = 32 * 1024
"""Greatest number of recorded responses per session; one more expires it.

Twice the number of operations that a client has in flight on its stream, so that one delayed command does not hold up
the others at once.
"""
SESSION_RESPONSE_BYTES_MAX = 16 * 1024 * 1024
"""When the recorded responses of a session have reached this size, its next command expires it."""

_REQUEST_TYPES: tuple[RequestType, ...] = ("commands", "queries", "open_session")
_UINT64_MAX = 2**64 - 1
"""Greatest id and sequence number."""


def request_type(request: pb.Request) -> RequestType | None:
    """Return the type of the request; None when it has no body or several, which is invalid."""
    types = [name for name in _REQUEST_TYPES if getattr(request, name)]
    return types[0] if len(types) == 1 else None


def request_count(request: pb.Request) -> int:
    """Return the number of requests in the batch, which is the number of outcomes that the client expects."""
    return len(request.commands) + len(request.queries) or 1


def outcome_count(outcome: pb.Outcome) -> int:
    """Return the number of requests that share the outcome."""
    return outcome.count or 1


def validate(request: pb.Request, session_id: int) -> str:
    """Return a validation error, or "". `session_id` is that of the request's RequestBatch, 0 without a session."""
    body, count = request_type(request), request_count(request)
    if body is None:
        return "exactly one of commands, queries and open_session is required"
    if body == "commands" and session_id and not request.sequence:
        return "a command of a session needs a sequence number"
    if max(request.id, request.sequence) + count - 1 > _UINT64_MAX:
        return f"the ids or sequence numbers of a batch of {count} exceed 64 bits"
    return ""


def split_request(request: pb.Request) -> Iterator[pb.Request]:
    """Yield one request for each command or query of the batch; yield any other request unchanged."""
    body = request_type(request)
    if body == "commands":
        for offset, command in enumerate(request.commands):
            sequence = request.sequence + offset if request.sequence else 0
            yield pb.Request(id=request.id + offset, commands=[command], sequence=sequence)
    elif body == "queries":
        for offset, query in enumerate(request.queries):
            yield pb.Request(id=request.id + offset, queries=[query], any_node=request.any_node)
    else:
        yield request


def single_result(outcome: pb.Outcome) -> bytes:
    """Return the state machine's result of the outcome of a single request."""
    return outcome.results[0] if outcome.results else b""
