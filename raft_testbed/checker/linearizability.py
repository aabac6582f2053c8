"""Whether a history is linearizable, key by key: Wing and Gong's search, with Lowe's improvements.

Each operation must have taken effect at one moment between its call and its outcome, so that every outcome is
explained. The search goes through the outcomes in their order and lets operations take effect as late as it can, just
before an outcome that needs it (Lowe's "just in time"). It remembers the configurations that it has been in: which of
the operations under way have taken effect, and the state. Four things keep it small:

- an operation that changes nothing takes effect as soon as the state explains it: waiting gains nothing;
- an operation whose outcome nobody knows may take effect at any later time, or never. So a configuration is not
  worth visiting when another was there that had the same state with fewer of those used up;
- a state that is the beginning of no value that is yet to be seen is as good as any other such state: nothing can tell
  them apart. Unknown operations that lead there are as good as each other, so only the oldest is tried, and only
  for a cas that claims to have found another value: nothing else gains by it;
- keys are independent of each other: linearizability is local.
"""

import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from raft_testbed.checker.models import ABSENT, Impossible, State, Step, changes_nothing, step_of
from raft_testbed.checker.observed_values import UNSEEN, Event, SeenValues, events_of, matters, not_known
from raft_testbed.checker.verdict import Verdict, worst
from raft_testbed.history import Operation

__all__ = ["KeyReport", "Limits", "Report", "Verdict", "check_history", "check_key", "memory_mb"]

CONFIGURATIONS_MAX = 5_000_000
_CONFIGURATIONS_BETWEEN_LIMITS = 256
DELETE = object()
"""What all deletes have in common."""


def memory_mb() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass(slots=True)
class KeyReport:
    """What was found out about one key."""

    key: str
    verdict: Verdict
    operations: int
    configurations: int
    """How many were visited."""
    unexplained: Operation | None = None
    """The first outcome that no order of effects can explain."""
    states: list[State] = field(default_factory=list)
    """What the key's state could have been just before it."""
    under_way: list[Operation] = field(default_factory=list)
    """What was under way at that time."""
    limit: str | None = None
    """Which limit was reached: `configurations`, `time` or `memory`; None when all was searched."""

    def __str__(self) -> str:
        if self.verdict is Verdict.OK:
            return f"key {self.key!r}: {self.operations} operations, linearizable"
        if self.verdict is Verdict.UNKNOWN:
            return f"key {self.key!r}: not known after {self.configurations} configurations ({self.limit} limit)"
        states = ", ".join(repr(state) for state in self.states)
        return f"key {self.key!r}: {self.unexplained} can't be explained; the state could be {states}"


@dataclass(slots=True)
class Report:
    """What was found out about a history: the worst of its keys decides."""

    keys: list[KeyReport]

    @property
    def verdict(self) -> Verdict:
        """A violation on one key is one, whatever is not known of others."""
        return worst(report.verdict for report in self.keys)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a search may cost; reaching one makes a key `unknown`. None: no limit."""

    deadline: float | None = None
    """Reading of `clock` at which to give up, for all keys together."""
    memory_mb_max: float | None = None
    """Memory of the whole process in MiB."""
    configurations_max: int = CONFIGURATIONS_MAX
    """Configurations visited, for each key."""
    clock: Callable[[], float] = time.monotonic
    memory_mb: Callable[[], float] = memory_mb

    def reached(self, visited: int) -> str | None:
        """Which limit stands in the way of going on: `configurations`, `time` or `memory`."""
        if visited >= self.configurations_max:
            return "configurations"
        if visited % _CONFIGURATIONS_BETWEEN_LIMITS:
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
    configurations_max: int = CONFIGURATIONS_MAX,
    clock: Callable[[], float] = time.monotonic,
) -> Report:
    """Judge a history. The limits are for all keys together, that of configurations is for each."""
    by_key: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_key[operation.key].append(operation)
    limits = Limits(None if seconds_max is None else clock() + seconds_max, memory_mb_max, configurations_max, clock)
    return Report([check_key(key, by_key[key], limits) for key in sorted(by_key)])


def check_key(key: str, operations: Sequence[Operation], limits: Limits, *, merge_unseen: bool = True) -> KeyReport:
    """Judge the operations of one key. Without `merge_unseen` no two values are taken for one: slow, but plain."""
    return _KeySearch(key, operations, limits, merge_unseen=merge_unseen).run()


@dataclass(slots=True, eq=False)
class _Candidate:
    """An operation that may take effect, as the search sees it."""

    operation: Operation
    step: Step
    bit: int
    """Its place in the sets of operations under way; taken over by another once its outcome has come."""
    changes_nothing: bool
    is_open: bool
    """Nobody knows its outcome: it need not take effect."""
    seen_until: int
    """Of one that is open: the last outcome that can tell its effect from that of others."""


Configuration = tuple[int, int, State]
"""How many outcomes are explained, which operations under way have taken effect (a set of bits), the state."""


class _KeySearch:
    """A search through the configurations of one key, depth first."""

    def __init__(self, key: str, operations: Sequence[Operation], limits: Limits, *, merge_unseen: bool) -> None:
        self._key = key
        self._count = len(operations)
        self._limits = limits
        events = events_of(operation for operation in operations if matters(operation))
        self._values = SeenValues(events, merge_unseen=merge_unseen)
        self._outcomes: list[_Candidate] = []
        self._under_way: list[tuple[_Candidate, ...]] = []
        self._open_bits = 0
        self._prepare(events)
        self._seen: dict[Configuration, list[int]] = {}
        self._stack: list[Configuration] = [(0, 0, ABSENT)]
        self._furthest = 0
        self._states_at_furthest: list[State] = []

    def run(self) -> KeyReport:
        """Search until an explanation of everything, or the end of all possibilities, or a limit."""
        visited = 0
        while self._stack:
            explained, effected, state = self._stack.pop()
            configuration = (explained, effected, self._values.canonical(state, explained))
            if not self._is_new(configuration):
                continue
            visited += 1
            if explained == len(self._outcomes):
                return KeyReport(self._key, Verdict.OK, self._count, visited)
            limit = self._limits.reached(visited)
            if limit is not None:
                return KeyReport(self._key, Verdict.UNKNOWN, self._count, visited, limit=limit)
            self._expand(configuration)
        return KeyReport(
            self._key,
            Verdict.VIOLATION,
            self._count,
            visited,
            self._outcomes[self._furthest].operation,
            self._states_at_furthest,
            [candidate.operation for candidate in self._under_way[self._furthest]],
        )

    def _prepare(self, events: Iterable[Event]) -> None:
        """Outcomes in their order, and for each who was under way then, in the order in which to try them."""
        free_bits: list[int] = []
        definite, opened = 0, 0
        current: dict[int, _Candidate] = {}
        for position, operation in events:
            if position != operation.invoked:
                outcome = current[id(operation)]
                self._outcomes.append(outcome)
                self._under_way.append(_in_order_of_trial(current.values()))
                free_bits.append(outcome.bit)
                del current[id(operation)]
                continue
            is_open = not_known(operation)
            if is_open:  # at odd places, each for ever its own
                bit = 1 << (2 * opened + 1)
                opened += 1
                self._open_bits |= bit
            elif free_bits:
                bit = free_bits.pop()
            else:
                bit = 1 << (2 * definite)
                definite += 1
            current[id(operation)] = _Candidate(
                operation,
                step_of(operation),
                bit,
                changes_nothing(operation),
                is_open,
                self._values.seen_until(operation) if is_open else 0,
            )

    def _is_new(self, configuration: Configuration) -> bool:
        """Whether none was visited that could do all that this one can."""
        explained, effected, state = configuration
        used = effected & self._open_bits
        earlier = self._seen.setdefault((explained, effected & ~self._open_bits, state), [])
        if any(other & ~used == 0 for other in earlier):
            return False
        earlier.append(used)
        return True

    def _expand(self, configuration: Configuration) -> None:
        """Put what can come next on the stack, the likeliest on top."""
        explained, effected, state = configuration
        outcome = self._outcomes[explained]
        under_way = self._under_way[explained]
        another_value_is_claimed = False
        for candidate in under_way:
            if candidate.changes_nothing and not effected & candidate.bit:
                if candidate.step(state) == state:
                    effected |= candidate.bit
                elif candidate.operation.claims_mismatch:
                    another_value_is_claimed = True
        if effected & outcome.bit:
            self._stack.append((explained + 1, effected & ~outcome.bit, state))
            return
        self._note(explained, state)
        for candidate in _worth_trying(under_way, effected, explained, another_value_is_claimed):
            following = candidate.step(state)
            if isinstance(following, Impossible):
                continue
            if candidate is outcome:
                self._stack.append((explained + 1, effected, following))
            elif not (candidate.is_open and self._values.canonical(following, explained) == state):
                self._stack.append((explained, effected | candidate.bit, following))

    def _note(self, explained: int, state: State) -> None:
        """Remember how far the search came, for the report."""
        if explained > self._furthest:
            self._furthest = explained
            self._states_at_furthest = []
        if explained == self._furthest and state not in self._states_at_furthest:
            self._states_at_furthest.append(state)


def _worth_trying(
    under_way: Iterable[_Candidate], effected: int, explained: int, another_value_is_claimed: bool
) -> Iterator[_Candidate]:
    """Those that have not taken effect and may change the state; of open ones that are alike, the oldest."""
    tried: set[object] = set()
    for candidate in under_way:
        if candidate.changes_nothing or effected & candidate.bit:
            continue
        if candidate.is_open:
            leads_to_unseen = candidate.seen_until < explained
            likeness = _likeness(candidate, leads_to_unseen)
            if likeness in tried or (leads_to_unseen and not another_value_is_claimed):
                continue
            tried.add(likeness)
        yield candidate


def _likeness(candidate: _Candidate, leads_to_unseen: bool) -> object:
    """Equal for open operations that do the same, as far as anybody will see."""
    value = candidate.operation.value
    if candidate.operation.f == "delete":
        return DELETE
    if not leads_to_unseen:
        return candidate
    return value[0] if isinstance(value, list) else UNSEEN


def _in_order_of_trial(candidates: Iterable[_Candidate]) -> tuple[_Candidate, ...]:
    """The last is tried first: those whose outcome comes soonest, then those that never need take effect."""

    def when(candidate: _Candidate) -> tuple[bool, int]:
        completed = candidate.operation.completed
        return (not candidate.is_open, -(completed or 0))

    return tuple(sorted(candidates, key=when))
