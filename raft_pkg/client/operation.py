"""One operation under way, and the wheel that notices when the time of operations is up.

A timer for each operation would cost more than the operation's share of a message; the wheel has one timer for
all of them, and an operation that ends in time leaves nothing behind.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from raft_pkg.client.session import Session

TICK_SECONDS = 0.02  # how much later than its deadline an operation may end


RequestType = Literal["command", "query", "any_node_query", "open_session"]
"""What an operation asks of a node: a command goes through the log, and must not be applied twice; a query is a read,
which the leader answers; an "any_node_query" is one that any node answers; "open_session" is the client's own, and does
no harm when it happens twice."""


@dataclass(slots=True)
class Answer:
    """What a node said of an operation that was done; operations with the same answer may share it."""

    result: bytes
    """In the state machine's language."""
    index: int
    """Log index at which it was done."""
    session_id: int = 0
    """The session that was opened."""


class Operation:
    """What a caller waits for: from the call of a method to its outcome, over however many attempts."""

    __slots__ = (
        "attempts",
        "connection",
        "deadline",
        "future",
        "id",
        "indeterminate",
        "key",
        "kind",
        "name",
        "payload",
        "sequence",
        "session",
        "tick",
        "timeout",
    )

    def __init__(
        self,
        kind: RequestType,
        name: str,
        key: str | None,
        payload: bytes,
        *,
        timeout: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.kind = kind
        self.name = name
        self.key = key  # for people; None: it is of no single key
        self.payload = payload  # in the state machine's language
        self.timeout = timeout  # seconds
        self.deadline = loop.time() + timeout
        self.future: asyncio.Future[Answer] = loop.create_future()
        self.session: Session | None = None  # of a command: from when it is first written on
        self.sequence = 0  # its number there, the same however often it is sent
        self.connection: object | None = None  # where it was written to and is not answered yet
        self.id = 0  # its number on that connection
        self.indeterminate = False  # an earlier connection took it, and its answer was lost
        self.attempts = 0  # how often a server has put it off
        self.tick = 0  # the wheel's own

    def __str__(self) -> str:
        return self.name if self.key is None else f"{self.name} of key {self.key!r}"


class DeadlineWheel:
    """Operations by the moment at which their time is up, in steps of TICK_SECONDS."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, expire: Callable[[Operation], None], turned: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._expire = expire
        self._turned = turned  # called at every step, as long as there is any operation
        self._slots: dict[int, set[Operation]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, operation: Operation) -> None:
        operation.tick = tick = int(operation.deadline / TICK_SECONDS) + 1
        slot = self._slots.get(tick)
        if slot is None:
            slot = self._slots[tick] = set()
            if self._timer is None:
                self._timer = self._loop.call_later(TICK_SECONDS, self._turn)
        slot.add(operation)

    def discard(self, operation: Operation) -> None:
        slot = self._slots.get(operation.tick)
        if slot is not None:
            slot.discard(operation)

    def pending(self) -> list[Operation]:
        """Every operation that is still under way."""
        return [operation for slot in self._slots.values() for operation in slot]

    def stop(self) -> None:
        self._slots.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        now_tick = int(self._loop.time() / TICK_SECONDS)
        for tick in [tick for tick, slot in self._slots.items() if tick <= now_tick or not slot]:
            for operation in self._slots.pop(tick):
                self._expire(operation)
        self._turned()
        self._timer = self._loop.call_later(TICK_SECONDS, self._turn) if self._slots else None
