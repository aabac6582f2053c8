"""An event loop's clock and timers, advanced by a test."""

import asyncio
from collections.abc import Callable
from typing import Any


class ManualTimer:
    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class ManualLoop:
    """The part of `asyncio.AbstractEventLoop` that timers need. Time passes only in `advance`."""

    def __init__(self) -> None:
        self.now = 100.0
        self._timers: list[ManualTimer] = []

    def time(self) -> float:
        return self.now

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()

    def call_later(self, delay: float, callback: Callable[..., None], *arguments: object) -> ManualTimer:
        timer = ManualTimer(self.now + delay, lambda: callback(*arguments))
        self._timers.append(timer)
        return timer

    @property
    def delays(self) -> list[float]:
        """Seconds until each pending timer is due."""
        return sorted(timer.when - self.now for timer in self._timers if not timer.cancelled)

    def advance(self, seconds: float) -> None:
        """Run the timers that are due within `seconds`, in order, each at its time."""
        end = self.now + seconds
        while due := [timer for timer in self._timers if not timer.cancelled and timer.when <= end]:
            timer = min(due, key=lambda timer: timer.when)
            self._timers.remove(timer)
            self.now = max(self.now, timer.when)
            timer.call()
        self.now = end
