"""The smallest part of a history that shows a violation.

To leave a write out would be no proof: what read its value could no longer be explained. So each operation that is
given up is only made to say less, and what is still a violation then is one of the whole history, too:

- what came after the outcome that can't be explained is left out, and what was under way then stays open;
- a read, or a cas that claims to have found another value, is left out: it only says something of others;
- any other operation may have taken effect at any time after the start, or never: it is `free`.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from raft_testbed.checker.linearizability import KeyReport, Limits, check_key
from raft_testbed.checker.models import changes_nothing
from raft_testbed.checker.observed_values import SeenValues, events_of, matters
from raft_testbed.checker.verdict import Verdict
from raft_testbed.history import Operation

CONFIGURATIONS_MAX = 20_000
SECONDS_MAX = 20.0


@dataclass(slots=True)
class Core:
    """Operations that no order explains, and which others their values come from."""

    operations: list[Operation]
    """Each is needed: without what it says there is an explanation."""
    free: list[Operation]
    """Those that could matter, whose time does not: they may have taken effect at any time, or never."""
    report: KeyReport
    """What the search says of these alone, with all possible states."""
    is_minimal: bool
    """Whether each operation was tried; not, when that took too long."""


def minimal_core(
    report: KeyReport,
    operations: Sequence[Operation],
    *,
    seconds_max: float = SECONDS_MAX,
    clock: Callable[[], float] = time.monotonic,
) -> Core:
    """Reduce the operations of the key of `report`, which is of a violation."""
    assert report.unexplained is not None
    deadline = clock() + seconds_max
    reduction = _Reduction(_until(report.unexplained, operations), lambda: clock() >= deadline)
    reduction.give_up_all_it_can(changes_nothing)  # first: the fewer values are seen, the faster the rest
    reduction.give_up_all_it_can(lambda _operation: True)
    kept = reduction.kept
    free = _that_could_matter(kept, reduction.free)
    history = _history(kept, free)
    limits = Limits(configurations_max=CONFIGURATIONS_MAX)
    found = check_key(report.key, history, limits, merge_unseen=False)
    if found.verdict is not Verdict.VIOLATION:
        found = check_key(report.key, history, limits)
    return Core(kept, free, found, not reduction.is_late())


def _until(unexplained: Operation, operations: Sequence[Operation]) -> list[Operation]:
    """All up to an outcome, in the order of their calls."""
    end = unexplained.completed
    assert end is not None
    cut = []
    for operation in operations:
        if not matters(operation) or operation.invoked > end:
            continue
        if operation.completed is None or operation.completed <= end:
            cut.append(operation)
        elif not changes_nothing(operation):
            cut.append(replace(operation, outcome="info", completed=None))
    return cut


class _Reduction:
    """What is left of a violation, and which operations were given up."""

    def __init__(self, kept: list[Operation], is_late: Callable[[], bool]) -> None:
        self.kept = kept
        self.free: list[Operation] = []
        self.is_late = is_late

    def give_up_all_it_can(self, among: Callable[[Operation], bool]) -> None:
        """Try large chunks of the operations that `among` is true of, then smaller ones, until none can be spared."""
        size = max(1, sum(map(among, self.kept)))
        while not self.is_late():
            before = len(self.kept)
            self._give_up([operation for operation in self.kept if among(operation)], size)
            if size == 1 and len(self.kept) == before:
                return
            size = max(1, size // 2)

    def _give_up(self, candidates: Sequence[Operation], size: int) -> None:
        """Try each chunk of `size` candidates, the oldest first."""
        for start in range(0, len(candidates), size):
            if self.is_late():
                return
            chunk = {id(operation) for operation in candidates[start : start + size]}
            rest = [operation for operation in self.kept if id(operation) not in chunk]
            given_up = [operation for operation in self.kept if id(operation) in chunk]
            freed = self.free + [operation for operation in given_up if not changes_nothing(operation)]
            if rest and _is_violation(rest, freed):
                self.kept, self.free = rest, freed


def _is_violation(kept: Sequence[Operation], free: Sequence[Operation]) -> bool:
    history = _history(kept, _that_could_matter(kept, free))
    limits = Limits(configurations_max=CONFIGURATIONS_MAX)
    return check_key(kept[0].key, history, limits).verdict is Verdict.VIOLATION


def _that_could_matter(kept: Sequence[Operation], free: Sequence[Operation]) -> list[Operation]:
    """Those without which nothing becomes impossible: of what leads to values that nobody sees, one for each claim."""
    values = SeenValues(events_of(_history(kept, free)), merge_unseen=True)
    claims = sum(operation.claims_mismatch for operation in kept)
    outcomes = sum(operation.outcome != "info" for operation in kept)
    absence_shows = claims > 0 or any(
        operation.f == "append"
        or (isinstance(operation.value, list) and operation.value[0] is None)
        or (operation.f == "read" and operation.output is None)
        for operation in [*kept, *free]
    )
    left = defaultdict[object, int](lambda: claims)
    left["delete"] = outcomes if absence_shows else 0
    chosen = []
    for operation in free:
        likeness = _likeness(operation, values)
        if likeness is None:
            chosen.append(operation)
        elif left[likeness] > 0:
            left[likeness] -= 1
            chosen.append(operation)
    return chosen


def _likeness(operation: Operation, values: SeenValues) -> object:
    """Equal for free operations of which one is as good as another; None: there is no other like it."""
    if operation.f == "delete":
        return "delete"
    if values.seen_until(operation) >= 0:
        return None
    return ("cas", operation.value[0]) if isinstance(operation.value, list) else "unseen"


def _history(kept: Sequence[Operation], free: Sequence[Operation]) -> list[Operation]:
    opened = [replace(operation, invoked=0, outcome="info", completed=None) for operation in free]
    return [*opened, *kept]
