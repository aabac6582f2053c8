"""Whether a history is linearizable, key by key: Wing and Gong's search, with Lowe's improvements.

Each operation must have taken effect at one moment between its call and its outcome, so that every outcome is
explained. The search goes through the outcomes in their order and lets operations take effect as late as it can, just
before an outcome that needs it (Lowe's "just in time"). It remembers the configurations that it has been in: which of
the operations under way have taken effect, and the state. Four things keep it small:

- an operation that changes nothing takes effect as soon as the state explains it: waiting gains nothing;
- an operation whose outcome nobody knows may take effect at any later time, or never. So a configuration is not
  worth visiting when another was there that had the same state with fewer of those used up;
- a state that is the beginning of no value that anybody saw is as good as any other such state: nothing can tell
  them apart. Unknown operations that lead there are as good as each other, so only the oldest is tried;
- keys are independent of each other: linearizability is local.
"""

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from raft_pkg.check.history import Operation
from raft_pkg.check.models import ABSENT, Impossible, State, Step, changes_nothing, step_of

CONFIGURATIONS_MAX = 5_000_000
_CONFIGURATIONS_BETWEEN_CLOCKS = 4096
UNSEEN = "\0 (a value that nobody saw)"
"""Stands for every state that no outcome tells anything of."""


class Verdict(StrEnum):
    """What can be said of a history."""

    OK = "ok"
    VIOLATION = "violation"
    UNKNOWN = "unknown"


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

    def __str__(self) -> str:
        if self.verdict is Verdict.OK:
            return f"key {self.key!r}: {self.operations} operations, linearizable"
        if self.verdict is Verdict.UNKNOWN:
            return f"key {self.key!r}: not known after {self.configurations} configurations"
        states = ", ".join(repr(state) for state in self.states)
        return f"key {self.key!r}: {self.unexplained} can't be explained; the state could be {states}"


@dataclass(slots=True)
class Report:
    """What was found out about a history: the worst of its keys decides."""

    keys: list[KeyReport]

    @property
    def verdict(self) -> Verdict:
        """A violation on one key is one, whatever is not known of others."""
        found = {report.verdict for report in self.keys}
        return next((v for v in (Verdict.VIOLATION, Verdict.UNKNOWN) if v in found), Verdict.OK)


def check_history(
    operations: Iterable[Operation],
    *,
    seconds_max: float | None = None,
    configurations_max: int = CONFIGURATIONS_MAX,
    clock: Callable[[], float] = time.monotonic,
) -> Report:
    """Judge a history. The limits are for all keys together and for each key; reaching one makes a key `unknown`."""
    by_key: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_key[operation.key].append(operation)
    deadline = None if seconds_max is None else clock() + seconds_max
    return Report([_KeySearch(key, by_key[key], configurations_max, deadline, clock).run() for key in sorted(by_key)])


@dataclass(slots=True)
class _Candidate:
    """An operation that may take effect, as the search sees it."""

    operation: Operation
    step: Step
    bit: int
    """Its place in the sets of operations under way; taken over by another once its outcome has come."""
    changes_nothing: bool
    is_open: bool
    """Nobody knows its outcome: it need not take effect."""
    likeness: object
    """Of those that are open and alike in this, one is as good as another."""


Configuration = tuple[int, int, State]
"""How many outcomes are explained, which operations under way have taken effect (a set of bits), the state."""


class _KeySearch:
    """A search through the configurations of one key, depth first."""

    def __init__(
        self,
        key: str,
        operations: Sequence[Operation],
        configurations_max: int,
        deadline: float | None,
        clock: Callable[[], float],
    ) -> None:
        self._key = key
        self._count = len(operations)
        self._configurations_max = configurations_max
        self._deadline = deadline
        self._clock = clock
        self._outcomes: list[_Candidate] = []
        self._under_way: list[tuple[_Candidate, ...]] = []
        self._open_bits = 0
        self._seen_values = _SeenValues(operations)
        self._prepare([operation for operation in operations if _matters(operation)])
        self._seen: dict[Configuration, list[int]] = {}
        self._stack: list[Configuration] = [(0, 0, ABSENT)]
        self._furthest = 0
        self._states_at_furthest: list[State] = []

    def run(self) -> KeyReport:
        """Search until an explanation of everything, or the end of all possibilities, or a limit."""
        visited = 0
        while self._stack:
            configuration = self._stack.pop()
            if not self._is_new(configuration):
                continue
            visited += 1
            if configuration[0] == len(self._outcomes):
                return KeyReport(self._key, Verdict.OK, self._count, visited)
            if visited >= self._configurations_max or self._is_late(visited):
                return KeyReport(self._key, Verdict.UNKNOWN, self._count, visited)
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

    def _prepare(self, operations: Sequence[Operation]) -> None:
        """Outcomes in their order, and for each who was under way then, in the order in which to try them."""
        events: list[tuple[int, Operation]] = []
        for operation in operations:
            events.append((operation.invoked, operation))
            if not _is_open(operation):
                assert operation.completed is not None
                events.append((operation.completed, operation))
        events.sort(key=lambda event: event[0])
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
            is_open = _is_open(operation)
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
                self._seen_values.likeness(operation) if is_open else operation.invoked,
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

    def _is_late(self, visited: int) -> bool:
        if self._deadline is None or visited % _CONFIGURATIONS_BETWEEN_CLOCKS:
            return False
        return self._clock() >= self._deadline

    def _expand(self, configuration: Configuration) -> None:
        """Put what can come next on the stack, the likeliest on top."""
        explained, effected, state = configuration
        outcome = self._outcomes[explained]
        under_way = self._under_way[explained]
        for candidate in under_way:
            if candidate.changes_nothing and not effected & candidate.bit and candidate.step(state) == state:
                effected |= candidate.bit
        if effected & outcome.bit:
            self._stack.append((explained + 1, effected & ~outcome.bit, state))
            return
        self._note(explained, state)
        for candidate in self._worth_trying(under_way, effected):
            result = candidate.step(state)
            if isinstance(result, Impossible):
                continue
            following = self._seen_values.canonical(result)
            if candidate is outcome:
                self._stack.append((explained + 1, effected, following))
            elif not (candidate.is_open and following == state):
                self._stack.append((explained, effected | candidate.bit, following))

    @staticmethod
    def _worth_trying(under_way: Iterable[_Candidate], effected: int) -> Iterator[_Candidate]:
        """Those that have not taken effect and may change the state; of open ones that are alike, the oldest."""
        tried: set[object] = set()
        for candidate in under_way:
            if candidate.changes_nothing or effected & candidate.bit or candidate.likeness in tried:
                continue
            if candidate.is_open:
                tried.add(candidate.likeness)
            yield candidate

    def _note(self, explained: int, state: State) -> None:
        """Remember how far the search came, for the report."""
        if explained > self._furthest:
            self._furthest = explained
            self._states_at_furthest = []
        if explained == self._furthest and state not in self._states_at_furthest:
            self._states_at_furthest.append(state)


class _SeenValues:
    """The values that outcomes tell of: what reads returned, and what cas compared with."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        values: set[str] = set()
        for operation in operations:
            if operation.f == "cas" and isinstance(operation.value, list):
                values.add(operation.value[0] or "")
            elif operation.output is not None:
                values.add(operation.output)
        self._values = sorted(values)
        self._text = "\0".join(self._values)
        self._canonical: dict[str, str] = {}

    def canonical(self, state: State) -> State:
        """The state, or UNSEEN when it is the beginning of no value that was seen."""
        if state is None:
            return None
        known = self._canonical.get(state)
        if known is None:
            position = bisect_left(self._values, state)
            is_seen = position < len(self._values) and self._values[position].startswith(state)
            known = self._canonical[state] = state if is_seen else UNSEEN
        return known

    def likeness(self, operation: Operation) -> object:
        """Equal for operations that have the same effect on every state, as far as anybody can tell."""
        value = operation.value
        if operation.f == "delete":
            return "delete"
        if operation.f == "write" and self.canonical(str(value)) == UNSEEN:
            return UNSEEN
        if operation.f == "append" and str(value) not in self._text:
            return UNSEEN
        if operation.f == "cas" and isinstance(value, list) and self.canonical(value[1]) == UNSEEN:
            return ("cas", value[0])
        return operation.invoked


def _matters(operation: Operation) -> bool:
    """What surely did not happen, and a read without an answer, explain nothing and need no explanation."""
    if operation.outcome == "fail":
        return operation.claims_mismatch
    return not (operation.f == "read" and operation.outcome == "info")


def _is_open(operation: Operation) -> bool:
    return operation.outcome == "info"


def _in_order_of_trial(candidates: Iterable[_Candidate]) -> tuple[_Candidate, ...]:
    """The last is tried first: those whose outcome comes soonest, then those that never need take effect."""

    def when(candidate: _Candidate) -> tuple[bool, int]:
        completed = candidate.operation.completed
        return (not candidate.is_open, -(completed or 0))

    return tuple(sorted(candidates, key=when))
