"""Histories of clients' operations, in Jepsen's form as JSON lines (docs/reference/history.md)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from raft_testbed.events import parse_object

FUNCTIONS = ("read", "write", "cas", "append", "delete")
OUTCOMES = ("ok", "fail", "info")
MISMATCH = "mismatch"
"""The `error` of a cas that failed because the value differed: a claim about the value, which the checker verifies."""

Value = str | None | list[str | None]


class HistoryError(ValueError):
    """A history is malformed or incomplete. The message names the line."""


@dataclass(slots=True)
class Operation:
    """One operation of one client, from its call to its outcome."""

    process: int
    """The client; it has one pending operation at a time."""
    f: str
    """The function: one of FUNCTIONS."""
    key: str
    value: Value
    """The argument: the text to write or append, `[old, new]` of a cas (old None: absent), None of read and delete."""
    invoked: int
    """Position of the call in the order of all calls and outcomes."""
    outcome: str = "info"
    """`ok`: it took effect; `fail`: it did not; `info`: unknown."""
    completed: int | None = None
    """Position of the outcome; None: there is none."""
    output: str | None = None
    """The value that a successful read returned; None: the key was absent."""
    error: str | None = None
    invoked_at: int = 0
    """Time of the call in nanoseconds since 1970, for plots."""
    completed_at: int = 0
    """Time of the outcome in nanoseconds since 1970."""

    @property
    def claims_mismatch(self) -> bool:
        """Whether this is a cas that failed because the value differed."""
        return self.f == "cas" and self.outcome == "fail" and self.error == MISMATCH

    def __str__(self) -> str:
        argument = "" if self.f in ("read", "delete") else f" {self.value!r}"
        result = f" → {self.output!r}" if self.f == "read" and self.outcome == "ok" else f" ({self.outcome})"
        return f"process {self.process}: {self.f} {self.key!r}{argument}{result}"


def read_history(lines: Iterable[str]) -> list[Operation]:
    """Return the operations of a history, in the order of their calls.

    Blank lines, and log lines with another `event` than `operation`, are skipped. Lines with a running number (`n`)
    must be consecutive. Raise `HistoryError` at the first malformed, missing or repeated line.
    """
    reader = _Reader()
    for number, line in enumerate(lines, start=1):
        reader.read_line(number, line)
    return reader.operations


class _Reader:
    """The operations read so far, and the state of each process."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._pending: dict[int, Operation] = {}
        self._retired: set[int] = set()
        self._last_n: int | None = None

    def read_line(self, number: int, line: str) -> None:
        content = _parse(number, line)
        if content is None:
            return
        if "n" in content:
            self._last_n = _next_running_number(number, content, self._last_n)
        if content.get("event", "operation") != "operation":
            return
        process = _member(number, content, "process", int)
        kind = _member(number, content, "type", str)
        if kind == "invoke":
            self._call(number, content, process)
        elif kind in OUTCOMES:
            operation = self._pending.pop(process, None)
            if operation is None:
                raise HistoryError(f"line {number}: process {process} has an outcome ({kind}) without a pending call")
            _complete(number, content, operation, kind)
            if kind == "info":
                self._retired.add(process)
        else:
            raise HistoryError(f"line {number}: type is {kind!r}, not invoke, {', '.join(OUTCOMES)}")

    def _call(self, number: int, content: dict[str, Any], process: int) -> None:
        pending = self._pending.get(process)
        if pending is not None:
            raise HistoryError(f"line {number}: process {process} calls while its {pending.f} is pending")
        if process in self._retired:
            raise HistoryError(f"line {number}: process {process} is reused after an indeterminate outcome")
        self._pending[process] = _invocation(number, content, process)
        self.operations.append(self._pending[process])


def _parse(number: int, line: str) -> dict[str, Any] | None:
    if not line.strip():
        return None
    try:
        return parse_object(line)
    except ValueError as error:
        raise HistoryError(f"line {number}: {error}") from None


def _next_running_number(number: int, content: dict[str, Any], last: int | None) -> int:
    """Return the line's running number. Raise `HistoryError` if it is not the next one."""
    n: int = _member(number, content, "n", int)
    expected = 0 if last is None else last + 1
    if n > expected:
        lost = "a line is" if n == expected + 1 else f"{n - expected} lines are"
        raise HistoryError(f"line {number}: n is {n} instead of {expected}: {lost} missing")
    if n < expected:
        raise HistoryError(f"line {number}: n is {n} instead of {expected}: the line is repeated")
    return n


def _member(number: int, content: dict[str, Any], name: str, expected: type) -> Any:
    value = content.get(name)
    if not isinstance(value, expected) or isinstance(value, bool):
        raise HistoryError(f"line {number}: {name!r} is {json.dumps(value)}, not of type {expected.__name__}")
    return value


def _invocation(number: int, content: dict[str, Any], process: int) -> Operation:
    f = _member(number, content, "f", str)
    if f not in FUNCTIONS:
        raise HistoryError(f"line {number}: 'f' is {f!r}, not one of {', '.join(FUNCTIONS)}")
    value = content.get("value")
    if not _IS_VALID_VALUE[f](value):
        raise HistoryError(f"line {number}: {json.dumps(value)} is not a valid value of a {f}")
    key = _member(number, content, "key", str)
    return Operation(process, f, key, value, number, invoked_at=_member(number, content, "time", int))


def _complete(number: int, content: dict[str, Any], operation: Operation, outcome: str) -> None:
    for name in ("f", "key"):
        found = content.get(name, getattr(operation, name))
        if found != getattr(operation, name):
            raise HistoryError(
                f"line {number}: the outcome's {name!r} is {found!r}, the call's {getattr(operation, name)!r}"
            )
    operation.outcome = outcome
    operation.completed = number if outcome != "info" else None
    operation.completed_at = _member(number, content, "time", int)
    operation.error = content.get("error")
    if operation.f == "read" and outcome == "ok":
        output = content.get("value")
        if not (output is None or isinstance(output, str)):
            raise HistoryError(f"line {number}: {json.dumps(output)} is not a valid result of a read")
        operation.output = output


_IS_VALID_VALUE = {
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
