"""Retries with randomized exponential back-off."""

import random
from asyncio import AbstractEventLoop
from collections.abc import Callable

from raft_pkg.client.operation import PendingOperation

BACK_OFF_FIRST_SECONDS = 0.005
BACK_OFF_MAX_SECONDS = 0.5


class RetryScheduler:
    """Calls `retry` with a deferred operation after a delay that doubles with each of its attempts."""

    def __init__(self, loop: AbstractEventLoop, rng: random.Random, retry: Callable[[PendingOperation], None]) -> None:
        self._loop = loop
        self._rng = rng
        self._retry = retry

    def defer(self, operation: PendingOperation) -> None:
        seconds = min(BACK_OFF_MAX_SECONDS, BACK_OFF_FIRST_SECONDS * 2 ** min(operation.attempts, 10))
        operation.attempts += 1
        self._loop.call_later(seconds * self._rng.uniform(0.5, 1.5), self._retry, operation)
