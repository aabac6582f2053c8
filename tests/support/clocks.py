"""Clocks for tests: time that a test advances, and an event loop that skips idle time."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

TICK_SECONDS = 1e-4
"""How far virtual time advances in one iteration of a busy event loop."""


class ManualTime:
    """A clock that only the test advances, with a `sleep` that follows it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        """The delay of every sleep, in order."""
        self._sleepers: list[tuple[float, float, asyncio.Future[None]]] = []
        """Due time, delay and future of each sleep that has not ended."""

    def clock(self) -> float:
        """Return the current time in seconds."""
        return self.now

    async def sleep(self, delay: float) -> None:
        """Wait until the clock has advanced by `delay` seconds."""
        self.slept.append(delay)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + delay, delay, future))
        await future

    def advance(self, seconds: float) -> None:
        """Advance the clock and wake the sleepers that are due."""
        self._advance_to(self.now + seconds)

    def is_sleeping(self, delay_max: float) -> bool:
        """Return whether a sleeper is due within `delay_max` seconds."""
        return self._next(delay_max) is not None

    def wake_next(self, delay_max: float) -> float | None:
        """Advance the clock to the next sleeper that is due within `delay_max` seconds; return its delay, if any."""
        sleeper = self._next(delay_max)
        if sleeper is None:
            return None
        due, delay, _ = sleeper
        self._advance_to(max(due, self.now))
        return delay

    def _next(self, delay_max: float) -> "tuple[float, float, asyncio.Future[None]] | None":
        self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[2].done()]
        due = [sleeper for sleeper in self._sleepers if sleeper[0] <= self.now + delay_max]
        return min(due, key=lambda sleeper: sleeper[0], default=None)

    def _advance_to(self, now: float) -> None:
        self.now = now
        for due, _, future in self._sleepers:
            if due <= now and not future.done():
                future.set_result(None)


class _SkippingSelector(selectors.DefaultSelector):
    """Reports the time that it would have waited to `waited`, and does not wait."""

    def __init__(self, waited: Callable[[float], None]) -> None:
        super().__init__()
        self._waited = waited

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("deadlock: no task is ready and no timer is set")
        self._waited(0.0 if ready else max(timeout or 0.0, TICK_SECONDS))
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer when no task is ready."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_SkippingSelector(self._advance))

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def _advance(self, seconds: float) -> None:
        self._now += seconds


def run_in_virtual_time(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in a `VirtualTimeLoop`; return its result."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)
