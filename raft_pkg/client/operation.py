"""One operation of a client, from the call of a method to its outcome."""

import asyncio
from dataclasses import dataclass
from typing import Literal, Protocol

from raft_pkg.client.session import ClientSession

OperationType = Literal["command", "query", "any_node_query", "open_session"]
"""What an operation asks of a node.

- `command`: goes through the log and must be applied once.
- `query`: a read, executed by the leader.
- `any_node_query`: a read, executed by any node (dissertation §6.4).
- `open_session`: issued by the client itself; harmless when it is executed twice.
"""


@dataclass(slots=True)
class OperationResult:
    """The result of an operation that succeeded. Operations with equal results may share one instance."""

    data: bytes
    """Result of the state machine, in its own encoding."""
    index: int
    """Log index at which the operation took effect."""
    session_id: int = 0
    """The session that was opened; 0 for other operations."""


class Carrier(Protocol):
    """What an operation knows of the connection on which it is in flight."""

    @property
    def address(self) -> str:
        """HOST:PORT of the node."""

    def discard(self, operation: "PendingOperation") -> None:
        """Stop waiting for the outcome of an operation."""


class PendingOperation:
    """An operation without an outcome yet; it may take several attempts, on several connections."""

    __slots__ = (
        "attempts",
        "connection",
        "deadline",
        "future",
        "id",
        "indeterminate",
        "key",
        "name",
        "operation_type",
        "payload",
        "sequence",
        "session",
        "tick",
        "timeout",
    )

    def __init__(
        self,
        operation_type: OperationType,
        name: str,
        key: str | None,
        payload: bytes,
        *,
        timeout: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.operation_type = operation_type
        self.name = name  # for error messages
        self.key = key  # for error messages; None: the operation has no single key
        self.payload = payload  # in the state machine's encoding
        self.timeout = timeout  # seconds
        self.deadline = loop.time() + timeout
        self.future: asyncio.Future[OperationResult] = loop.create_future()
        self.session: ClientSession | None = None  # of a command, set when it is first written
        self.sequence = 0  # sequence number in the session, the same for every attempt
        self.connection: Carrier | None = None  # set by the connection while the operation is in flight there
        self.id = 0  # request id on that connection
        self.indeterminate = False  # an earlier attempt may have been executed: its outcome was lost
        self.attempts = 0  # attempts that a node deferred
        self.tick = 0  # owned by the timer wheel

    def __str__(self) -> str:
        return self.name if self.key is None else f"{self.name} of key {self.key!r}"
