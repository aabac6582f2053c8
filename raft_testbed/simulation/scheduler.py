"""Virtual time: what is to happen, in order. Nothing here waits."""

import heapq
from collections.abc import Callable

Action = Callable[[], None]


STEPS_MAX = 300_000
"""Many times what the busiest run needs."""


class TooManyStepsError(Exception):
    """The world does not come to rest: somebody answers himself for ever."""


class Scheduler:
    """Runs actions at their times; those of the same time in the order in which they were scheduled."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds since the world began."""
        self.steps = 0
        """Actions that were run."""
        self._queue: list[tuple[float, int, Action]] = []
        self._scheduled = 0

    def at(self, time: float, action: Action) -> None:
        """Run `action` at `time`, or at once when that is past."""
        self._scheduled += 1
        heapq.heappush(self._queue, (max(time, self.now), self._scheduled, action))

    def after(self, delay: float, action: Action) -> None:
        """Run `action` in `delay` seconds."""
        self.at(self.now + delay, action)

    def run_until(self, time: float, is_done: Callable[[], bool] | None = None) -> bool:
        """Run what is due up to `time`, or until `is_done` (asked after each action); returns whether it was done."""
        queue = self._queue
        while queue and queue[0][0] <= time:
            self.now, _, action = heapq.heappop(queue)
            self.steps += 1
            if self.steps > STEPS_MAX:
                raise TooManyStepsError(f"{self.steps} steps in {self.now:.3f} s")
            action()
            if is_done is not None and is_done():
                return True
        self.now = time
        return False
