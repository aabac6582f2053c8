"""What the outcomes of a key's operations tell of its values, and until when they do.

A state that is the beginning of no value that is yet to be seen is as good as any other such state.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from raft_testbed.checker.models import State
from raft_testbed.history import Operation

UNSEEN = "\0 (a value that nobody saw)"
"""Stands for every state that no outcome tells anything of."""

Event = tuple[int, Operation]
"""A call or an outcome: its position and its operation."""


def events_of(operations: Iterable[Operation]) -> list[Event]:
    """Calls and outcomes in their order; what nobody knows has a call alone."""
    events: list[Event] = []
    for operation in operations:
        events.append((operation.invoked, operation))
        if not not_known(operation):
            assert operation.completed is not None
            events.append((operation.completed, operation))
    events.sort(key=lambda event: event[0])
    return events


class SeenValues:
    """The values that outcomes tell of, what reads returned and what cas compared with, and until when they do."""

    def __init__(self, events: Iterable[Event], *, merge_unseen: bool) -> None:
        self._merge_unseen = merge_unseen
        self._outcomes = 0
        self._seen_until: dict[str, int] = {}
        open_comparisons: list[tuple[str, str]] = []
        for position, operation in events:
            value = operation.value[0] if isinstance(operation.value, list) else operation.output
            if not_known(operation):
                if isinstance(operation.value, list) and value is not None:
                    open_comparisons.append((value, operation.value[1] or ""))
            elif position != operation.invoked:
                if value is not None:
                    self._seen_until[value] = self._outcomes
                self._outcomes += 1
        self._sort()
        self._follow(open_comparisons)
        self._latest_first = sorted(self._seen_until.items(), key=lambda item: -item[1])
        self._known: dict[str, int] = {}

    def canonical(self, state: State, explained: int) -> State:
        """The state, or UNSEEN when it is the beginning of no value that an outcome yet to be explained tells of."""
        if state is None or not self._merge_unseen:
            return state
        until = self._known.get(state)
        if until is None:
            until = self._known[state] = self._beginning_seen_until(state)
        return state if until >= explained else UNSEEN

    def seen_until(self, operation: Operation) -> int:
        """The last outcome that can tell the effect of an open operation from that of others that are alike."""
        value = operation.value
        if operation.f == "delete" or not self._merge_unseen:
            return self._outcomes
        if operation.f == "append":
            return next((until for seen, until in self._latest_first if str(value) in seen), -1)
        return self._beginning_seen_until(value[1] or "" if isinstance(value, list) else str(value))

    def _sort(self) -> None:
        self._values = sorted(self._seen_until)
        self._until = [self._seen_until[value] for value in self._values]

    def _follow(self, comparisons: Sequence[tuple[str, str]]) -> None:
        """What an open cas compares with is seen as long as what it sets is, which another may compare with."""
        changed = True
        while changed:
            changed = False
            for old, new in comparisons:
                until = self._beginning_seen_until(new)
                if until > self._seen_until.get(old, -1):
                    self._seen_until[old] = until
                    changed = True
            self._sort()

    def _beginning_seen_until(self, state: str) -> int:
        first = bisect_left(self._values, state)
        beyond = bisect_right(self._values, state, first, key=lambda value: value[: len(state)])
        return max(self._until[first:beyond], default=-1)


def matters(operation: Operation) -> bool:
    """What surely did not happen, and a read without an answer, explain nothing and need no explanation."""
    if operation.outcome == "fail":
        return operation.claims_mismatch
    return not (operation.f == "read" and operation.outcome == "info")


def not_known(operation: Operation) -> bool:
    return operation.outcome == "info"
