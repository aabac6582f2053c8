"""Reduction of a violation to a minimal counterexample.

Removing a write would prove nothing: a read of its value would then lack an explanation. Each reduction therefore only
weakens what the history claims, so that a violation of the reduced history is one of the whole history as well:

- Operations after the unexplained outcome are removed; those pending at that time become indeterminate.
- A read-only operation (a read, or a cas that claims a mismatch) is removed: it only constrains others.
- Any other operation becomes unconstrained: it may have taken effect at any time after the start, or never.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from raft_testbed.checker.linearizability import KeyFinding, Limits, check_key
from raft_testbed.checker.models import is_read_only
from raft_testbed.checker.observed_values import ObservedValues, history_events, is_relevant
from raft_testbed.checker.verdict import Verdict
from raft_testbed.history import Operation

SEARCH_STATES_MAX = 20_000
SECONDS_MAX = 20.0


@dataclass(slots=True)
class Counterexample:
    """Operations of one key that have no linearization."""

    operations: list[Operation]
    """The operations that contradict each other; if the counterexample is minimal, each of them is necessary."""
    unconstrained: list[Operation]
    """Further operations that can affect the verdict; each may have taken effect at any time, or never."""
    finding: KeyFinding
    """The result of checking these operations alone, with all possible states."""
    is_minimal: bool
    """Whether the reduction was complete; False if it ran out of time."""


def minimal_counterexample(
    finding: KeyFinding,
    operations: Sequence[Operation],
    *,
    seconds_max: float = SECONDS_MAX,
    clock: Callable[[], float] = time.monotonic,
) -> Counterexample:
    """Reduce the operations of a key whose `finding` is a violation, for at most `seconds_max`."""
    assert finding.unexplained is not None
    deadline = clock() + seconds_max
    reduction = _Reduction(_until(finding.unexplained, operations), lambda: clock() >= deadline)
    reduction.reduce(is_read_only)  # first: fewer observed values make the remaining checks faster
    reduction.reduce(lambda _operation: True)
    kept = reduction.kept
    unconstrained = _that_can_affect_the_verdict(kept, reduction.unconstrained)
    history = _history(kept, unconstrained)
    limits = Limits(search_states_max=SEARCH_STATES_MAX)
    found = check_key(finding.key, history, limits, merge_unobserved=False)
    if found.verdict is not Verdict.VIOLATION:
        found = check_key(finding.key, history, limits)
    return Counterexample(kept, unconstrained, found, not reduction.is_late())


def _until(unexplained: Operation, operations: Sequence[Operation]) -> list[Operation]:
    """Return the relevant operations called before an outcome; later outcomes become indeterminate."""
    end = unexplained.completed
    assert end is not None
    cut = []
    for operation in operations:
        if not is_relevant(operation) or operation.invoked > end:
            continue
        if operation.completed is None or operation.completed <= end:
            cut.append(operation)
        elif not is_read_only(operation):
            cut.append(replace(operation, outcome="info", completed=None))
    return cut


class _Reduction:
    """The operations kept so far, and those made unconstrained."""

    def __init__(self, kept: list[Operation], is_late: Callable[[], bool]) -> None:
        self.kept = kept
        self.unconstrained: list[Operation] = []
        self.is_late = is_late

    def reduce(self, eligible: Callable[[Operation], bool]) -> None:
        """Give up eligible operations in ever smaller chunks (delta debugging), until every single one is necessary."""
        size = max(1, sum(map(eligible, self.kept)))
        while not self.is_late():
            before = len(self.kept)
            self._give_up([operation for operation in self.kept if eligible(operation)], size)
            if size == 1 and len(self.kept) == before:
                return
            size = max(1, size // 2)

    def _give_up(self, candidates: Sequence[Operation], size: int) -> None:
        """Give up each chunk of `size` candidates without which the rest is still a violation, the oldest first."""
        for start in range(0, len(candidates), size):
            if self.is_late():
                return
            chunk = {id(operation) for operation in candidates[start : start + size]}
            rest = [operation for operation in self.kept if id(operation) not in chunk]
            given_up = [operation for operation in self.kept if id(operation) in chunk]
            unconstrained = self.unconstrained + [operation for operation in given_up if not is_read_only(operation)]
            if rest and _is_violation(rest, unconstrained):
                self.kept, self.unconstrained = rest, unconstrained


def _is_violation(kept: Sequence[Operation], unconstrained: Sequence[Operation]) -> bool:
    history = _history(kept, _that_can_affect_the_verdict(kept, unconstrained))
    limits = Limits(search_states_max=SEARCH_STATES_MAX)
    return check_key(kept[0].key, history, limits).verdict is Verdict.VIOLATION


def _that_can_affect_the_verdict(kept: Sequence[Operation], unconstrained: Sequence[Operation]) -> list[Operation]:
    """Keep only the unconstrained operations that can affect the verdict.

    Operations that lead to unobserved values are interchangeable: one for each claimed mismatch suffices.
    """
    values = ObservedValues(history_events(_history(kept, unconstrained)), merge_unobserved=True)
    claims = sum(operation.claims_mismatch for operation in kept)
    outcomes = sum(operation.outcome != "info" for operation in kept)
    is_absence_observable = claims > 0 or any(
        operation.f == "append"
        or (isinstance(operation.value, list) and operation.value[0] is None)
        or (operation.f == "read" and operation.output is None)
        for operation in [*kept, *unconstrained]
    )
    left = defaultdict[object, int](lambda: claims)
    left["delete"] = outcomes if is_absence_observable else 0
    chosen = []
    for operation in unconstrained:
        key = _equivalence_key(operation, values)
        if key is None:
            chosen.append(operation)
        elif left[key] > 0:
            left[key] -= 1
            chosen.append(operation)
    return chosen


def _equivalence_key(operation: Operation, values: ObservedValues) -> object:
    """Return a key that is equal for interchangeable unconstrained operations; None if the operation is unique."""
    if operation.f == "delete":
        return "delete"
    if values.observed_until(operation) >= 0:
        return None
    return ("cas", operation.value[0]) if isinstance(operation.value, list) else "unobserved"


def _history(kept: Sequence[Operation], unconstrained: Sequence[Operation]) -> list[Operation]:
    opened = [replace(operation, invoked=0, outcome="info", completed=None) for operation in unconstrained]
    return [*opened, *kept]
