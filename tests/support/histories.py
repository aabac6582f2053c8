"""Histories that are linearizable by construction: each operation takes effect at one moment. Their JSON lines."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any

from raft_testbed.checker.models import Impossible, State, transition_of
from raft_testbed.history import MISMATCH, Operation

MIX = {"read": 6, "write": 3, "cas": 3, "append": 4, "delete": 1}


@dataclass
class Generator:
    """A simulated store and its clients; in each step, one client calls, takes effect, or receives its outcome."""

    seed: int
    operations: int
    clients: int = 16
    keys: int = 20
    unknown_share: float = 0.005
    """Share of indeterminate operations; half of them take effect, at any later time."""

    def __post_init__(self) -> None:
        self._rng = Random(self.seed)
        self._state: dict[str, State] = defaultdict(lambda: None)
        self._position = count(1)
        self._processes = count(self.clients)
        self._history: list[Operation] = []
        self._late: list[Operation] = []

    def run(self) -> list[Operation]:
        """Return the operations in the order of their calls."""
        rng = self._rng
        phases: list[tuple[Operation, bool] | int] = list(range(self.clients))  # an idle client: its process number
        while len(self._history) < self.operations or any(not isinstance(phase, int) for phase in phases):
            client = rng.randrange(self.clients)
            phase = phases[client]
            if isinstance(phase, int):
                if len(self._history) < self.operations:
                    phases[client] = (self._call(phase), False)
                continue
            operation, effected = phase
            if rng.random() < self.unknown_share / 2:
                if not effected and rng.random() < 0.5:
                    self._late.append(operation)
                phases[client] = next(self._processes)
            elif not effected:
                self._take_effect(operation)
                phases[client] = (operation, True)
            else:
                operation.completed = next(self._position)
                operation.completed_at = operation.completed * 10_000
                operation.outcome = "fail" if operation.error else "ok"
                phases[client] = operation.process
            if self._late and rng.random() < 0.01:
                self._take_effect(self._late.pop(rng.randrange(len(self._late))))
        for operation in self._history:
            if operation.completed is None:
                operation.output = operation.error = None
        return self._history

    def _call(self, process: int) -> Operation:
        rng, number = self._rng, len(self._history)
        key = f"key-{rng.randrange(self.keys)}"
        (f,) = rng.choices(list(MIX), list(MIX.values()))
        old = self._state[key] if rng.random() < 0.7 else f"w{rng.randrange(number + 1)};"
        value = {"read": None, "delete": None, "cas": [old, f"c{number};"]}.get(f, f"{f[0]}{number};")
        at = next(self._position)
        self._history.append(Operation(process, f, key, value, at, invoked_at=at * 10_000))
        return self._history[-1]

    def _take_effect(self, operation: Operation) -> None:
        if operation.f == "read":
            operation.output = self._state[operation.key]
            return
        following = transition_of(operation)(self._state[operation.key])
        if isinstance(following, Impossible):
            operation.error = MISMATCH
        else:
            self._state[operation.key] = following


def history_lines(operations: Iterable[Operation]) -> Iterator[str]:
    """Yield a history as JSON lines, in the order of calls and outcomes."""
    lines: list[tuple[int, dict[str, Any]]] = []
    for operation in operations:
        members = {"process": operation.process, "f": operation.f, "key": operation.key, "value": operation.value}
        lines.append((operation.invoked, {"time": operation.invoked_at, "type": "invoke", **members}))
        if operation.completed is not None:
            line = {"time": operation.completed_at, "type": operation.outcome, **members}
            if operation.f == "read" and operation.outcome == "ok":
                line["value"] = operation.output
            if operation.error is not None:
                line["error"] = operation.error
            lines.append((operation.completed, line))
    for _, line in sorted(lines, key=lambda item: item[0]):
        yield json.dumps(line, ensure_ascii=False)
