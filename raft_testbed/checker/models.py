"""Model of one key: a register with read, write, compare-and-set, append and delete.

The model maps a state and an operation to the next state, or to `IMPOSSIBLE` if the operation's outcome contradicts the
state.
"""

from collections.abc import Callable
from typing import Final

from raft_testbed.history import Operation


class Impossible:
    """The type of `IMPOSSIBLE`."""


IMPOSSIBLE: Final = Impossible()

State = str | None
"""The value of a key; None: the key is absent."""
Transition = Callable[[State], "State | Impossible"]
ABSENT: State = None


def transition_of(operation: Operation) -> Transition:
    """Return the transition of the key's state when an operation takes effect."""
    return _TRANSITIONS[operation.f](operation)


def is_read_only(operation: Operation) -> bool:
    """Return whether an operation leaves every state unchanged: a read, or a cas that claims a mismatch."""
    return operation.f == "read" or operation.claims_mismatch


def _read(operation: Operation) -> Transition:
    output = operation.output
    return lambda state: state if state == output else IMPOSSIBLE


def _write(operation: Operation) -> Transition:
    value = _text(operation.value)
    return lambda _state: value


def _append(operation: Operation) -> Transition:
    value = _text(operation.value)
    return lambda state: value if state is None else state + value


def _delete(_operation: Operation) -> Transition:
    return lambda _state: None


def _compare_and_set(operation: Operation) -> Transition:
    assert isinstance(operation.value, list)
    old, new = operation.value
    if operation.claims_mismatch:
        return lambda state: IMPOSSIBLE if state == old else state
    return lambda state: new if state == old else IMPOSSIBLE


def _text(value: object) -> str:
    assert isinstance(value, str)
    return value


_TRANSITIONS: dict[str, Callable[[Operation], Transition]] = {
    "read": _read,
    "write": _write,
    "append": _append,
    "delete": _delete,
    "cas": _compare_and_set,
}
