"""One operation under way, and the wheel that notices when the time of operations is up.

A timer for each operation would cost more than the operation's share of a message; the wheel has one timer for
all of them, and an operation that ends in time leaves nothing behind.
"""

import asyncio
from collections.abc import Callable

from raft_pkg.rpc import raft_pb2

TICK_SECONDS = 0.02  # how much later than its deadline an operation may end


class Operation:
    """What a caller waits for: from the call of a method to its outcome, over however many attempts."""

    __slots__ = (
        "attempts",
        "connection",
        "deadline",
        "future",
        "id",
        "is_read",
        "key",
        "name",
        "payload",
        "tick",
        "timeout",
    )

    def __init__(
        self, name: str, key: str, payload: bytes, *, is_read: bool, timeout: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.name = name
        self.key = key
        self.payload = payload  # a serialized KvQuery when it is a read, else a serialized KvCommand
        self.is_read = is_read
        self.timeout = timeout  # seconds
        self.deadline = loop.time() + timeout
        self.future: asyncio.Future[raft_pb2.Outcome] = loop.create_future()
        self.connection: object | None = None  # where it was last written to; None: surely no server has it
        self.id = 0  # its number on that connection
        self.attempts = 0  # how often a server has put it off
        self.tick = 0  # the wheel's own

    def __str__(self) -> str:
        return f"{self.name} of key {self.key!r}"


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
