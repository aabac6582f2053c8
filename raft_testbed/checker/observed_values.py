"""The values of a key that outcomes observe, and until which outcome they are observed.

All states that are not the prefix of a value that is still to be observed are equivalent: see `linearizability`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from raft_testbed.checker.models import State
from raft_testbed.history import Operation

UNOBSERVED = "\0 (an unobserved value)"
"""Stands for every state that no outcome observes."""

HistoryEvent = tuple[int, Operation]
"""The position of a call or an outcome in the history, and its operation."""


def history_events(operations: Iterable[Operation]) -> list[HistoryEvent]:
    """Return calls and outcomes in order; an indeterminate operation has a call alone."""
    events: list[HistoryEvent] = []
    for operation in operations:
        events.append((operation.invoked, operation))
        if not is_indeterminate(operation):
            assert operation.completed is not None
            events.append((operation.completed, operation))
    events.sort(key=lambda event: event[0])
    return events


class ObservedValues:
    """The values that reads returned and cas operations compared with, and the last outcome that observes each."""

    def __init__(self, events: Iterable[HistoryEvent], *, merge_unobserved: bool) -> None:
        self._merge_unobserved = merge_unobserved
        self._outcomes = 0
        self._observed_until: dict[str, int] = {}
        indeterminate_comparisons: list[tuple[str, str]] = []
        for position, operation in events:
            value = operation.value[0] if isinstance(operation.value, list) else operation.output
            if is_indeterminate(operation):
                if isinstance(operation.value, list) and value is not None:
                    indeterminate_comparisons.append((value, operation.value[1] or ""))
            elif position != operation.invoked:
                if value is not None:
                    self._observed_until[value] = self._outcomes
                self._outcomes += 1
        self._sort()
        self._follow(indeterminate_comparisons)
        self._latest_first = sorted(self._observed_until.items(), key=lambda item: -item[1])
        self._known: dict[str, int] = {}

    def canonical(self, state: State, explained: int) -> State:
        """Return the state; UNOBSERVED if no outcome from number `explained` on observes a value with that prefix."""
        if state is None or not self._merge_unobserved:
            return state
        until = self._known.get(state)
        if until is None:
            until = self._known[state] = self._prefix_observed_until(state)
        return state if until >= explained else UNOBSERVED

    def observed_until(self, operation: Operation) -> int:
        """Return the last outcome that can distinguish the effect of an indeterminate operation; -1: none can."""
        value = operation.value
        if operation.f == "delete" or not self._merge_unobserved:
            return self._outcomes
        if operation.f == "append":
            return next((until for observed, until in self._latest_first if str(value) in observed), -1)
        return self._prefix_observed_until(value[1] or "" if isinstance(value, list) else str(value))

    def _sort(self) -> None:
        self._values = sorted(self._observed_until)
        self._until = [self._observed_until[value] for value in self._values]

    def _follow(self, comparisons: Sequence[tuple[str, str]]) -> None:
        """Extend the observation of what an indeterminate cas compares with to that of what it sets, transitively."""
        changed = True
        while changed:
            changed = False
            for old, new in comparisons:
                until = self._prefix_observed_until(new)
                if until > self._observed_until.get(old, -1):
                    self._observed_until[old] = until
                    changed = True
            self._sort()

    def _prefix_observed_until(self, state: str) -> int:
        first = bisect_left(self._values, state)
        beyond = bisect_right(self._values, state, first, key=lambda value: value[: len(state)])
        return max(self._until[first:beyond], default=-1)


def is_relevant(operation: Operation) -> bool:
    """Return whether an operation can affect the verdict; failed operations and reads without an outcome cannot."""
    if operation.outcome == "fail":
        return operation.claims_mismatch
    return not (operation.f == "read" and operation.outcome == "info")


def is_indeterminate(operation: Operation) -> bool:
    """Return whether an operation's outcome is unknown."""
    return operation.outcome == "info"
