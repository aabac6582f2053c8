"""Virtual time: actions run in the order of their times, without waiting."""

import heapq
from collections.abc import Callable

Action = Callable[[], None]


STEPS_MAX = 300_000
"""Limit of actions in a run; several times what the busiest run needs."""


class TooManyStepsError(Exception):
    """The run exceeds `STEPS_MAX`, probably because actions schedule each other endlessly."""


class Scheduler:
    """Runs actions at their times; actions of the same time in the order in which they were scheduled."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds since the start of the run."""
        self.steps = 0
        """Number of actions that have run."""
        self._queue: list[tuple[float, int, Action]] = []
        self._scheduled = 0

    def at(self, time: float, action: Action) -> None:
        """Schedule `action` at `time`, or now if that is past."""
        self._scheduled += 1
        heapq.heappush(self._queue, (max(time, self.now), self._scheduled, action))

    def after(self, delay: float, action: Action) -> None:
        """Schedule `action` in `delay` seconds."""
        self.at(self.now + delay, action)

    def run_until(self, time: float, is_done: Callable[[], bool] | None = None) -> bool:
        """Run the actions up to `time`, or until `is_done`, which is asked after each. Return whether it was done.

        Raise `TooManyStepsError`.
        """
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
