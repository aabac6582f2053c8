"""A violation in words: who did what and when, and what can't be explained."""

from collections import Counter
from collections.abc import Iterable, Sequence

from raft_testbed.checker.counterexample import Core
from raft_testbed.checker.models import State
from raft_testbed.checker.observed_values import UNSEEN
from raft_testbed.history import Operation

VALUE_LENGTH_MAX = 60
_FREE_TOLD_MAX = 12
_STATES_TOLD_MAX = 4


def shown(value: State) -> str:
    """A value between quotes, the middle left out where it is long."""
    if value is None:
        return "no such key"
    if value.startswith(UNSEEN):
        return "a value that no outcome tells of"
    if len(value) > VALUE_LENGTH_MAX:
        half = VALUE_LENGTH_MAX // 2
        return f"'{value[:half]}…{value[-half:]}' ({len(value)} characters)"
    return f"'{value}'"


def did(operation: Operation) -> str:
    """What one operation did: a clause that begins with its process."""
    value = operation.value
    match operation.f:
        case "read" if operation.outcome == "ok":
            what = f"read {shown(operation.output)}"
        case "cas" if isinstance(value, list) and operation.claims_mismatch:
            what = f"compared with {shown(value[0])} and was told that the value is another"
        case "cas" if isinstance(value, list):
            what = f"compared with {shown(value[0])} and set {shown(value[1])}"
        case "write":
            what = f"wrote {shown(str(value))}"
        case "append":
            what = f"appended {shown(str(value))}"
        case "delete":
            what = "deleted the key"
        case _:
            what = operation.f
    endings = {"info": ", outcome not known", "fail": "" if operation.claims_mismatch else ", which surely failed"}
    return f"process {operation.process} {what}{endings.get(operation.outcome, '')}"


def when(operation: Operation, start: int) -> str:
    """From its call to its outcome, in seconds after `start` (nanoseconds)."""
    called = f"{(operation.invoked_at - start) / 1e9:.6f}"
    if operation.completed is None:
        return f"{called} s …"
    return f"{called} … {(operation.completed_at - start) / 1e9:.6f} s"


def summary(core: Core, operations: Iterable[Operation], start: int) -> str:
    """One paragraph: the outcome that can't be explained, and why. `operations` are all of the key."""
    unexplained = core.report.unexplained
    assert unexplained is not None
    return (
        f"key {unexplained.key!r}: {did(unexplained)} ({when(unexplained, start)}), and that can't be explained. "
        f"{_reason(unexplained, core, list(operations))}"
    )


def account(core: Core, start: int) -> list[str]:
    """The operations of a core, a line each, in the order of their calls; then those whose time does not matter."""
    lines = [f"{when(operation, start)}: {did(operation)}" for operation in core.operations]
    if core.free:
        lines.append("These may have taken effect at any time, or never, and it can't be explained all the same:")
        lines += [f"{when(operation, start)}: {did(operation)}" for operation in core.free[:_FREE_TOLD_MAX]]
        if len(core.free) > _FREE_TOLD_MAX:
            lines.append(f"… and {len(core.free) - _FREE_TOLD_MAX} more")
    return lines


def _reason(unexplained: Operation, core: Core, operations: Sequence[Operation]) -> str:
    if unexplained.f == "read" and unexplained.output is not None:
        origin = _origin(unexplained, unexplained.output, operations)
        if origin is not None:
            return origin
        repeated = _repeated(unexplained.output, operations)
        if repeated is not None:
            return repeated
    possible = list(dict.fromkeys(shown(state) for state in core.report.states))
    more = len(possible) - _STATES_TOLD_MAX
    if more > 0:
        possible = [*possible[:_STATES_TOLD_MAX], f"one of {more} more, and none of them fits"]
    return f"In every order that explains the outcomes before it, the value could then only be {' or '.join(possible)}."


def _origin(read: Operation, output: str, operations: Sequence[Operation]) -> str | None:
    """What is wrong with where the value of a read came from; None when that is not it."""
    writers = [operation for operation in operations if _could_give(operation, output)]
    if any(operation.outcome != "fail" for operation in writers):
        possible = [o for o in writers if o.outcome != "fail" and o.invoked < (read.completed or 0)]
        if possible:
            return None
        later = next(operation for operation in writers if operation.outcome != "fail")
        return f"Nobody had begun to write that value; only later, process {later.process} did."
    if writers:
        return f"Only process {writers[0].process} was to write that value, and was told that it surely had failed."
    return "Nobody ever wrote that value."


def _repeated(output: str, operations: Sequence[Operation]) -> str | None:
    """Which text a value contains more often than it was appended; None when there is none."""
    appended = Counter(str(operation.value) for operation in operations if operation.f == "append")
    for text, times in appended.items():
        found = output.count(text) if text else 0
        if found > times and not any(_sets(operation, text) for operation in operations):
            often = "once" if times == 1 else f"{times} times"
            return f"It contains {shown(text)} {found} times, and that was appended {often}."
    return None


def _sets(operation: Operation, text: str) -> bool:
    """Whether a write or a cas sets a value that contains the text."""
    value = operation.value
    set_to = value[1] if isinstance(value, list) else value if operation.f == "write" else None
    return set_to is not None and text in set_to


def _could_give(operation: Operation, output: str) -> bool:
    """Whether its effect could be the value, or its end."""
    value = operation.value
    if operation.f == "append":
        return output.endswith(str(value))
    if operation.f == "write":
        return output.startswith(str(value))
    return isinstance(value, list) and value[1] is not None and output.startswith(value[1])
