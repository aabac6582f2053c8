"""Histories of clients' operations: what was called, what came back, and in which order (Jepsen's form, JSON lines).

Nothing here knows how a history came about, or whether it is right.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

FUNCTIONS = ("read", "write", "cas", "append", "delete")
OUTCOMES = ("ok", "fail", "info")
MISMATCH = "mismatch"
"""The `error` of a cas that failed because the value was another: a claim about the value, to be checked."""

Value = str | None | list[str | None]


class HistoryError(ValueError):
    """A history can't be read; the message names the line."""


@dataclass(slots=True)
class Operation:
    """One operation of one client, from its call to its outcome."""

    process: int
    """The client that called it; one operation at a time."""
    f: str
    """What was called: one of FUNCTIONS."""
    key: str
    value: Value
    """The argument: what to write or append, `[old, new]` of a cas (old None: absent), None of a read and a delete."""
    invoked: int
    """Position of the call in the order of all calls and outcomes."""
    outcome: str = "info"
    """`ok`: it happened; `fail`: it surely did not; `info`: nobody knows."""
    completed: int | None = None
    """Position of the outcome; None: there was none."""
    output: str | None = None
    """What a read that is `ok` returned; None: no such key."""
    error: str | None = None
    invoked_at: int = 0
    """Time of the call in nanoseconds, for plots."""
    completed_at: int = 0
    """Time of the outcome in nanoseconds."""

    @property
    def claims_mismatch(self) -> bool:
        """Whether this is a cas that says that it found another value."""
        return self.f == "cas" and self.outcome == "fail" and self.error == MISMATCH

    def __str__(self) -> str:
        argument = "" if self.f in ("read", "delete") else f" {self.value!r}"
        result = f" → {self.output!r}" if self.f == "read" and self.outcome == "ok" else f" ({self.outcome})"
        return f"process {self.process}: {self.f} {self.key!r}{argument}{result}"


def read_history(lines: Iterable[str]) -> list[Operation]:
    """The operations of a history, in the order of their calls. Raises `HistoryError` at the first bad line.

    Passes over blank lines, and over log lines of another `event` than `operation`. Lines that carry a running number
    (`n`) must follow each other: one that is lost or comes twice is a bad line, too.
    """
    reader = _Reader()
    for number, line in enumerate(lines, start=1):
        reader.take(number, line)
    return reader.operations


class _Reader:
    """What was read so far: the operations, and which processes may call."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._under_way: dict[int, Operation] = {}
        self._retired: set[int] = set()
        self._last_n: int | None = None

    def take(self, number: int, line: str) -> None:
        record = _parse(number, line)
        if record is None:
            return
        if "n" in record:
            self._last_n = _following(number, record, self._last_n)
        if record.get("event", "operation") != "operation":
            return
        process = _member(number, record, "process", int)
        kind = _member(number, record, "type", str)
        if kind == "invoke":
            self._call(number, record, process)
        elif kind in OUTCOMES:
            operation = self._under_way.pop(process, None)
            if operation is None:
                raise HistoryError(f"line {number}: process {process} has an outcome ({kind}) and no call under way")
            _complete(number, record, operation, kind)
            if kind == "info":
                self._retired.add(process)
        else:
            raise HistoryError(f"line {number}: type is {kind!r}, not invoke, {', '.join(OUTCOMES)}")

    def _call(self, number: int, record: dict[str, Any], process: int) -> None:
        earlier = self._under_way.get(process)
        if earlier is not None:
            raise HistoryError(f"line {number}: process {process} calls while its {earlier.f} is under way")
        if process in self._retired:
            raise HistoryError(f"line {number}: process {process} is used again after an outcome nobody knows")
        self._under_way[process] = _invocation(number, record, process)
        self.operations.append(self._under_way[process])


def history_lines(operations: Iterable[Operation]) -> Iterator[str]:
    """A history as JSON lines, in its order."""
    events: list[tuple[int, dict[str, Any]]] = []
    for operation in operations:
        members = {"process": operation.process, "f": operation.f, "key": operation.key, "value": operation.value}
        events.append((operation.invoked, {"time": operation.invoked_at, "type": "invoke", **members}))
        if operation.completed is not None:
            line = {"time": operation.completed_at, "type": operation.outcome, **members}
            if operation.f == "read" and operation.outcome == "ok":
                line["value"] = operation.output
            if operation.error is not None:
                line["error"] = operation.error
            events.append((operation.completed, line))
    for _, line in sorted(events, key=lambda event: event[0]):
        yield json.dumps(line, ensure_ascii=False)


def _parse(number: int, line: str) -> dict[str, Any] | None:
    if not line.strip():
        return None
    try:
        record = json.loads(line)
    except ValueError as error:
        raise HistoryError(f"line {number}: no JSON: {error}") from None
    if not isinstance(record, dict):
        raise HistoryError(f"line {number}: {type(record).__name__} instead of an object")
    return record


def _following(number: int, record: dict[str, Any], last: int | None) -> int:
    """The line's running number, which must be the next."""
    n: int = _member(number, record, "n", int)
    expected = 0 if last is None else last + 1
    if n > expected:
        lost = "a line is" if n == expected + 1 else f"{n - expected} lines are"
        raise HistoryError(f"line {number}: n is {n} where {expected} should follow: {lost} lost")
    if n < expected:
        raise HistoryError(f"line {number}: n is {n} where {expected} should follow: the line came twice")
    return n


def _member(number: int, record: dict[str, Any], name: str, expected: type) -> Any:
    value = record.get(name)
    if not isinstance(value, expected) or isinstance(value, bool):
        raise HistoryError(f"line {number}: {name!r} is {json.dumps(value)}, not of type {expected.__name__}")
    return value


def _invocation(number: int, record: dict[str, Any], process: int) -> Operation:
    f = _member(number, record, "f", str)
    if f not in FUNCTIONS:
        raise HistoryError(f"line {number}: 'f' is {f!r}, not one of {', '.join(FUNCTIONS)}")
    value = record.get("value")
    if not _VALUE_IS_RIGHT[f](value):
        raise HistoryError(f"line {number}: {json.dumps(value)} can't be the value of a {f}")
    key = _member(number, record, "key", str)
    return Operation(process, f, key, value, number, invoked_at=_member(number, record, "time", int))


def _complete(number: int, record: dict[str, Any], operation: Operation, kind: str) -> None:
    for name in ("f", "key"):
        found = record.get(name, getattr(operation, name))
        if found != getattr(operation, name):
            raise HistoryError(
                f"line {number}: the outcome's {name!r} is {found!r}, the call's {getattr(operation, name)!r}"
            )
    operation.outcome = kind
    operation.completed = number if kind != "info" else None
    operation.completed_at = _member(number, record, "time", int)
    operation.error = record.get("error")
    if operation.f == "read" and kind == "ok":
        output = record.get("value")
        if not (output is None or isinstance(output, str)):
            raise HistoryError(f"line {number}: {json.dumps(output)} can't be what a read returned")
        operation.output = output


_VALUE_IS_RIGHT = {
    "read": lambda value: value is None,
    "delete": lambda value: value is None,
    "write": lambda value: isinstance(value, str),
    "append": lambda value: isinstance(value, str),
    "cas": lambda value: (
        isinstance(value, list)
        and len(value) == 2
        and (value[0] is None or isinstance(value[0], str))
        and isinstance(value[1], str)
    ),
}
