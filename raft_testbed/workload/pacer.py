"""Pacing of operations at a constant rate."""

import asyncio
import time

BURST_SECONDS = 0.1
"""How far a delayed workload may catch up with its rate."""


class Pacer:
    """Spaces the operations of all clients evenly."""

    def __init__(self, rate: float) -> None:
        """Allow `rate` operations per second; 0: any number."""
        self._interval = 1 / rate if rate else 0.0
        self._next = time.monotonic()

    async def wait(self) -> None:
        """Wait until the next operation is due. Operations due longer than BURST_SECONDS ago are dropped."""
        if not self._interval:
            return
        now = time.monotonic()
        due = self._next = max(self._next, now - BURST_SECONDS)
        self._next += self._interval
        if due > now:
            await asyncio.sleep(due - now)
