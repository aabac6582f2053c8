"""A timer wheel for the deadlines of operations.

A timer of the event loop per operation would cost more than the operation's share of a message. The wheel has one
timer for all operations, and an operation that completes in time leaves nothing behind.
"""

import asyncio
from collections.abc import Callable

from raft_pkg.client.operation import PendingOperation

TICK_SECONDS = 0.02
"""Resolution of the wheel. An operation expires at most this long after its deadline, if the event loop keeps up."""


class TimerWheel:
    """Operations by the tick in which they expire.

    `expire` is called with each operation whose deadline has passed; `on_tick` at every tick while the wheel has any.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        expire: Callable[[PendingOperation], None],
        on_tick: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._expire = expire
        self._on_tick = on_tick
        self._slots: dict[int, set[PendingOperation]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, operation: PendingOperation) -> None:
        operation.tick = tick = int(operation.deadline / TICK_SECONDS) + 1
        slot = self._slots.get(tick)
        if slot is None:
            slot = self._slots[tick] = set()
            if self._timer is None:
                self._timer = self._loop.call_later(TICK_SECONDS, self._advance)
        slot.add(operation)

    def discard(self, operation: PendingOperation) -> None:
        slot = self._slots.get(operation.tick)
        if slot is not None:
            slot.discard(operation)

    def pending(self) -> list[PendingOperation]:
        """Return every operation that has neither expired nor been discarded."""
        return [operation for slot in self._slots.values() for operation in slot]

    def stop(self) -> None:
        """Discard every operation and stop ticking."""
        self._slots.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _advance(self) -> None:
        now_tick = int(self._loop.time() / TICK_SECONDS)
        for tick in [tick for tick, slot in self._slots.items() if tick <= now_tick or not slot]:
            for operation in self._slots.pop(tick):
                self._expire(operation)
        self._on_tick()
        self._timer = self._loop.call_later(TICK_SECONDS, self._advance) if self._slots else None
