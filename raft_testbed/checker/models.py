"""What one key may do: a register that can be written, compared and set, appended to and deleted.

A model is a function from a state and an operation to the next state, or `IMPOSSIBLE` where the operation's outcome
can't be explained from that state.
"""

from collections.abc import Callable
from typing import Final

from raft_testbed.history import Operation


class Impossible:
    """No state of a key."""


IMPOSSIBLE: Final = Impossible()

State = str | None
Step = Callable[[State], "State | Impossible"]
ABSENT: State = None


def step_of(operation: Operation) -> Step:
    """What an operation does to its key's state, if it takes effect."""
    return _STEPS[operation.f](operation)


def changes_nothing(operation: Operation) -> bool:
    """Whether it leaves every state as it was: it only says something of the state it met."""
    return operation.f == "read" or operation.claims_mismatch


def _read(operation: Operation) -> Step:
    output = operation.output
    return lambda state: state if state == output else IMPOSSIBLE


def _write(operation: Operation) -> Step:
    value = _text(operation.value)
    return lambda _state: value


def _append(operation: Operation) -> Step:
    value = _text(operation.value)
    return lambda state: value if state is None else state + value


def _delete(_operation: Operation) -> Step:
    return lambda _state: None


def _compare_and_set(operation: Operation) -> Step:
    assert isinstance(operation.value, list)
    old, new = operation.value
    if operation.claims_mismatch:
        return lambda state: IMPOSSIBLE if state == old else state
    return lambda state: new if state == old else IMPOSSIBLE


def _text(value: object) -> str:
    assert isinstance(value, str)
    return value


_STEPS: dict[str, Callable[[Operation], Step]] = {
    "read": _read,
    "write": _write,
    "append": _append,
    "delete": _delete,
    "cas": _compare_and_set,
}
