"""The requests of a command stream: of what kind they are, how many, each by itself, and what came of it."""

from collections.abc import Iterator
from typing import Literal

from raft_pkg.rpc import raft_pb2 as pb

RequestType = Literal["commands", "queries", "open_session"]

NUMBER_MAX = 2**64
"""No id and no sequence is as high: they have 64 bits."""

_KINDS: tuple[RequestType, ...] = ("commands", "queries", "open_session")


def request_type(request: pb.Request) -> RequestType | None:
    """What is asked for; None: nothing, or several things, which is not allowed."""
    kinds = [kind for kind in _KINDS if getattr(request, kind)]
    return kinds[0] if len(kinds) == 1 else None


def request_count(request: pb.Request) -> int:
    """How many requests it stands for: so many outcomes are wanted."""
    return len(request.commands) + len(request.queries) or 1


def validate(request: pb.Request, session_id: int) -> str:
    """Why it makes no sense, whenever and wherever it comes; empty when it does. `session_id`: of its batch."""
    kind, count = request_type(request), request_count(request)
    if kind is None:
        return "no command and no query, or several kinds at once"
    if kind == "commands" and session_id and not request.sequence:
        return "a command of a session needs a sequence"
    if max(request.id, request.sequence) + count > NUMBER_MAX:
        return f"{count} in a row, and their numbers go beyond 64 bits"
    return ""


def split_request(request: pb.Request) -> Iterator[pb.Request]:
    """The same as requests that stand for themselves alone; one that asks for nothing known comes as it is."""
    kind = request_type(request)
    if kind == "commands":
        for place, command in enumerate(request.commands):
            sequence = request.sequence + place if request.sequence else 0
            yield pb.Request(id=request.id + place, commands=[command], sequence=sequence)
    elif kind == "queries":
        for place, query in enumerate(request.queries):
            yield pb.Request(id=request.id + place, queries=[query], any_node=request.any_node)
    else:
        yield request


def single_result(outcome: pb.Outcome) -> bytes:
    """What the state machine answered to a request that stood for itself alone."""
    return outcome.results[0] if outcome.results else b""
