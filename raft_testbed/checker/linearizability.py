"""Checker of linearizability, key by key: Wing and Gong's search with Lowe's improvements.

A history is linearizable if each operation can have taken effect at one moment between its call and its outcome, so
that every outcome is explained. The search goes through the outcomes in order. It lets an operation take effect as late
as possible, just before an outcome that needs it (Lowe's just-in-time linearization), and remembers the search states
that it visited: how many outcomes are explained, which pending operations have taken effect, and the state of the key.

Four rules keep the search small:

- A read-only operation takes effect as soon as the state explains it: waiting gains nothing.
- An indeterminate operation may take effect at any later time, or never. So a search state is redundant if another one
  with the same state used up a subset of its indeterminate operations.
- All states that are not the prefix of a value that is still to be observed are equivalent: no outcome distinguishes
  them. Of indeterminate operations that lead to such states only the oldest is tried, and only for a cas that claims a
  mismatch: nothing else gains by it.
- Keys are checked independently, because linearizability is a local property.

Sources: J. Wing and C. Gong, "Testing and verifying concurrent objects" (1993); G. Lowe, "Testing for linearizability"
(2017).
"""

import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from raft_testbed.checker.models import ABSENT, Impossible, State, Transition, is_read_only, transition_of
from raft_testbed.checker.observed_values import (
    UNOBSERVED,
    HistoryEvent,
    ObservedValues,
    history_events,
    is_indeterminate,
    is_relevant,
)
from raft_testbed.checker.verdict import Verdict, worst
from raft_testbed.history import Operation

__all__ = ["HistoryFinding", "KeyFinding", "Limits", "Verdict", "check_history", "check_key", "memory_mb"]

SEARCH_STATES_MAX = 5_000_000
_SEARCH_STATES_BETWEEN_LIMITS = 256
DELETE = object()
"""The equivalence key of all deletes."""


def memory_mb() -> float:
    """Return the peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass(slots=True)
class KeyFinding:
    """The result of checking one key."""

    key: str
    verdict: Verdict
    operations: int
    search_states: int
    """Number of search states visited."""
    unexplained: Operation | None = None
    """The first operation whose outcome no linearization explains."""
    states: list[State] = field(default_factory=list)
    """Possible states of the key just before that outcome."""
    pending: list[Operation] = field(default_factory=list)
    """Operations pending at that time."""
    limit: str | None = None
    """The limit that ended the search: `search states`, `time` or `memory`; None: the search was exhaustive."""

    def __str__(self) -> str:
        if self.verdict is Verdict.OK:
            return f"key {self.key!r}: {self.operations} operations, linearizable"
        if self.verdict is Verdict.UNKNOWN:
            return f"key {self.key!r}: unknown after {self.search_states} search states ({self.limit} limit)"
        states = ", ".join(repr(state) for state in self.states)
        return f"key {self.key!r}: no linearization explains {self.unexplained}; possible states: {states}"


@dataclass(slots=True)
class HistoryFinding:
    """The results of checking all keys of a history."""

    keys: list[KeyFinding]

    @property
    def verdict(self) -> Verdict:
        """The worst verdict on any key."""
        return worst(finding.verdict for finding in self.keys)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a search; a key whose search reaches one is `unknown`. None: no limit."""

    deadline: float | None = None
    """Reading of `clock` at which the search ends, for all keys together."""
    memory_mb_max: float | None = None
    """Memory of the whole process in MiB."""
    search_states_max: int = SEARCH_STATES_MAX
    """Search states visited, for each key."""
    clock: Callable[[], float] = time.monotonic
    memory_mb: Callable[[], float] = memory_mb

    def reached(self, visited: int) -> str | None:
        """Return the limit that is reached: `search states`, `time` or `memory`; None if none is."""
        if visited >= self.search_states_max:
            return "search states"
        if visited % _SEARCH_STATES_BETWEEN_LIMITS:
            return None
        if self.deadline is not None and self.clock() >= self.deadline:
            return "time"
        if self.memory_mb_max is not None and self.memory_mb() >= self.memory_mb_max:
            return "memory"
        return None


def check_history(
    operations: Iterable[Operation],
    *,
    seconds_max: float | None = None,
    memory_mb_max: float | None = None,
    search_states_max: int = SEARCH_STATES_MAX,
    clock: Callable[[], float] = time.monotonic,
) -> HistoryFinding:
    """Check every key of a history. Time and memory are limited for all keys together, search states for each key."""
    by_key: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_key[operation.key].append(operation)
    limits = Limits(None if seconds_max is None else clock() + seconds_max, memory_mb_max, search_states_max, clock)
    return HistoryFinding([check_key(key, by_key[key], limits) for key in sorted(by_key)])


def check_key(
    key: str, operations: Sequence[Operation], limits: Limits, *, merge_unobserved: bool = True
) -> KeyFinding:
    """Check the operations of one key.

    Without `merge_unobserved`, unobserved states are kept apart: slower, but `states` then lists every possible state.
    """
    return _KeySearch(key, operations, limits, merge_unobserved=merge_unobserved).run()


@dataclass(slots=True, eq=False)
class _Candidate:
    """A pending operation that may take effect, prepared for the search."""

    operation: Operation
    transition: Transition
    bit: int
    """The operation's bit in the sets of pending operations; reused once the outcome is explained."""
    is_read_only: bool
    is_indeterminate: bool
    """Whether the outcome is unknown, so that the operation need not take effect."""
    observed_until: int
    """For an indeterminate operation: the last outcome that can distinguish its effect from that of others."""


SearchState = tuple[int, int, State]
"""Number of explained outcomes, the pending operations that have taken effect (a set of bits), and the key's state."""


class _KeySearch:
    """A depth-first search through the search states of one key."""

    def __init__(self, key: str, operations: Sequence[Operation], limits: Limits, *, merge_unobserved: bool) -> None:
        self._key = key
        self._count = len(operations)
        self._limits = limits
        events = history_events(operation for operation in operations if is_relevant(operation))
        self._values = ObservedValues(events, merge_unobserved=merge_unobserved)
        self._outcomes: list[_Candidate] = []
        self._pending: list[tuple[_Candidate, ...]] = []
        self._indeterminate_bits = 0
        self._prepare(events)
        self._visited: dict[SearchState, list[int]] = {}
        self._stack: list[SearchState] = [(0, 0, ABSENT)]
        self._furthest = 0
        self._states_at_furthest: list[State] = []

    def run(self) -> KeyFinding:
        """Search until every outcome is explained, every search state is visited, or a limit is reached."""
        visited = 0
        while self._stack:
            explained, effected, state = self._stack.pop()
            search_state = (explained, effected, self._values.canonical(state, explained))
            if not self._is_new(search_state):
                continue
            visited += 1
            if explained == len(self._outcomes):
                return KeyFinding(self._key, Verdict.OK, self._count, visited)
            limit = self._limits.reached(visited)
            if limit is not None:
                return KeyFinding(self._key, Verdict.UNKNOWN, self._count, visited, limit=limit)
            self._expand(search_state)
        return KeyFinding(
            self._key,
            Verdict.VIOLATION,
            self._count,
            visited,
            self._outcomes[self._furthest].operation,
            self._states_at_furthest,
            [candidate.operation for candidate in self._pending[self._furthest]],
        )

    def _prepare(self, events: Iterable[HistoryEvent]) -> None:
        """Collect the outcomes in order, and for each the operations pending then, in the order of trial."""
        free_bits: list[int] = []
        definite, indeterminate = 0, 0
        current: dict[int, _Candidate] = {}
        for position, operation in events:
            if position != operation.invoked:
                outcome = current[id(operation)]
                self._outcomes.append(outcome)
                self._pending.append(_in_order_of_trial(current.values()))
                free_bits.append(outcome.bit)
                del current[id(operation)]
                continue
            never_returns = is_indeterminate(operation)
            if never_returns:  # odd bits, never reused
                bit = 1 << (2 * indeterminate + 1)
                indeterminate += 1
                self._indeterminate_bits |= bit
            elif free_bits:
                bit = free_bits.pop()
            else:
                bit = 1 << (2 * definite)
                definite += 1
            current[id(operation)] = _Candidate(
                operation,
                transition_of(operation),
                bit,
                is_read_only(operation),
                never_returns,
                self._values.observed_until(operation) if never_returns else 0,
            )

    def _is_new(self, search_state: SearchState) -> bool:
        """Return whether no visited search state makes this one redundant."""
        explained, effected, state = search_state
        used = effected & self._indeterminate_bits
        earlier = self._visited.setdefault((explained, effected & ~self._indeterminate_bits, state), [])
        if any(other & ~used == 0 for other in earlier):
            return False
        earlier.append(used)
        return True

    def _expand(self, search_state: SearchState) -> None:
        """Push the successors of a search state, the most promising last."""
        explained, effected, state = search_state
        outcome = self._outcomes[explained]
        pending = self._pending[explained]
        is_mismatch_claimed = False
        for candidate in pending:
            if candidate.is_read_only and not effected & candidate.bit:
                if candidate.transition(state) == state:
                    effected |= candidate.bit
                elif candidate.operation.claims_mismatch:
                    is_mismatch_claimed = True
        if effected & outcome.bit:
            self._stack.append((explained + 1, effected & ~outcome.bit, state))
            return
        self._note(explained, state)
        for candidate in _worth_trying(pending, effected, explained, is_mismatch_claimed):
            following = candidate.transition(state)
            if isinstance(following, Impossible):
                continue
            if candidate is outcome:
                self._stack.append((explained + 1, effected, following))
            elif not (candidate.is_indeterminate and self._values.canonical(following, explained) == state):
                self._stack.append((explained, effected | candidate.bit, following))

    def _note(self, explained: int, state: State) -> None:
        """Remember the furthest unexplained outcome and the possible states before it."""
        if explained > self._furthest:
            self._furthest = explained
            self._states_at_furthest = []
        if explained == self._furthest and state not in self._states_at_furthest:
            self._states_at_furthest.append(state)


def _worth_trying(
    pending: Iterable[_Candidate], effected: int, explained: int, is_mismatch_claimed: bool
) -> Iterator[_Candidate]:
    """Yield operations that have not taken effect and may change the state; of equivalent ones the oldest."""
    tried: set[object] = set()
    for candidate in pending:
        if candidate.is_read_only or effected & candidate.bit:
            continue
        if candidate.is_indeterminate:
            is_unobserved = candidate.observed_until < explained
            key = _equivalence_key(candidate, is_unobserved)
            if key in tried or (is_unobserved and not is_mismatch_claimed):
                continue
            tried.add(key)
        yield candidate


def _equivalence_key(candidate: _Candidate, is_unobserved: bool) -> object:
    """Return a key that is equal for indeterminate operations whose effects no outcome distinguishes."""
    value = candidate.operation.value
    if candidate.operation.f == "delete":
        return DELETE
    if not is_unobserved:
        return candidate
    return value[0] if isinstance(value, list) else UNOBSERVED


def _in_order_of_trial(candidates: Iterable[_Candidate]) -> tuple[_Candidate, ...]:
    """Sort so that the last is tried first: the soonest outcome first, indeterminate operations at the end."""

    def when(candidate: _Candidate) -> tuple[bool, int]:
        completed = candidate.operation.completed
        return (not candidate.is_indeterminate, -(completed or 0))

    return tuple(sorted(candidates, key=when))
