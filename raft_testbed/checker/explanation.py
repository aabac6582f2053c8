"""Explanation of a violation in sentences: the operations, their times, and the outcome without an explanation."""

from collections import Counter
from collections.abc import Iterable, Sequence

from raft_testbed.checker.counterexample import Counterexample
from raft_testbed.checker.models import State
from raft_testbed.checker.observed_values import UNOBSERVED
from raft_testbed.history import Operation

VALUE_LENGTH_MAX = 60
_UNCONSTRAINED_LISTED_MAX = 12
_STATES_LISTED_MAX = 4


def quoted(value: State) -> str:
    """Return a value in quotes, abbreviated in the middle if it is longer than VALUE_LENGTH_MAX."""
    if value is None:
        return "absent"
    if value.startswith(UNOBSERVED):
        return "an unobserved value"
    if len(value) > VALUE_LENGTH_MAX:
        half = VALUE_LENGTH_MAX // 2
        return f"'{value[:half]}…{value[-half:]}' ({len(value)} characters)"
    return f"'{value}'"


def describe(operation: Operation) -> str:
    """Return a clause about one operation; its subject is the process."""
    value = operation.value
    match operation.f:
        case "read" if operation.outcome == "ok":
            what = f"read {quoted(operation.output)}"
        case "cas" if isinstance(value, list) and operation.claims_mismatch:
            what = f"compared with {quoted(value[0])} and got a mismatch"
        case "cas" if isinstance(value, list):
            what = f"compared with {quoted(value[0])} and set {quoted(value[1])}"
        case "write":
            what = f"wrote {quoted(str(value))}"
        case "append":
            what = f"appended {quoted(str(value))}"
        case "delete":
            what = "deleted the key"
        case _:
            what = operation.f
    endings = {"info": ", outcome unknown", "fail": "" if operation.claims_mismatch else ", which failed"}
    return f"process {operation.process} {what}{endings.get(operation.outcome, '')}"


def interval(operation: Operation, start: int) -> str:
    """Return the time from call to outcome, in seconds after `start` (nanoseconds since 1970)."""
    called = f"{(operation.invoked_at - start) / 1e9:.6f}"
    if operation.completed is None:
        return f"{called} s …"
    return f"{called} … {(operation.completed_at - start) / 1e9:.6f} s"


def summarize(counterexample: Counterexample, operations: Iterable[Operation], start: int) -> str:
    """Return one paragraph: the unexplained outcome and the reason. `operations` are all operations of the key."""
    unexplained = counterexample.finding.unexplained
    assert unexplained is not None
    return (
        f"key {unexplained.key!r}: {describe(unexplained)} ({interval(unexplained, start)}), "
        f"which no linearization explains. {_reason(unexplained, counterexample, list(operations))}"
    )


def explain(counterexample: Counterexample, start: int) -> list[str]:
    """Return a line for each operation in the order of the calls, followed by the unconstrained operations."""
    lines = [f"{interval(operation, start)}: {describe(operation)}" for operation in counterexample.operations]
    unconstrained = counterexample.unconstrained
    if unconstrained:
        lines.append("It remains a violation even if these took effect at any time, or never:")
        lines += [
            f"{interval(operation, start)}: {describe(operation)}"
            for operation in unconstrained[:_UNCONSTRAINED_LISTED_MAX]
        ]
        if len(unconstrained) > _UNCONSTRAINED_LISTED_MAX:
            lines.append(f"… and {len(unconstrained) - _UNCONSTRAINED_LISTED_MAX} more")
    return lines


def _reason(unexplained: Operation, counterexample: Counterexample, operations: Sequence[Operation]) -> str:
    if unexplained.f == "read" and unexplained.output is not None:
        origin = _origin(unexplained, unexplained.output, operations)
        if origin is not None:
            return origin
        repeated = _repeated(unexplained.output, operations)
        if repeated is not None:
            return repeated
    possible = list(dict.fromkeys(quoted(state) for state in counterexample.finding.states))
    more = len(possible) - _STATES_LISTED_MAX
    if more > 0:
        possible = [*possible[:_STATES_LISTED_MAX], f"one of {more} more, none of which fits"]
    return f"In every order that explains the earlier outcomes, the value at that time is {' or '.join(possible)}."


def _origin(read: Operation, output: str, operations: Sequence[Operation]) -> str | None:
    """Return why no operation can have written the value of a read; None if one can."""
    writers = [operation for operation in operations if _could_write(operation, output)]
    if any(operation.outcome != "fail" for operation in writers):
        possible = [o for o in writers if o.outcome != "fail" and o.invoked < (read.completed or 0)]
        if possible:
            return None
        later = next(operation for operation in writers if operation.outcome != "fail")
        return f"No write of that value had been called; process {later.process} called one later."
    if writers:
        return f"The only write of that value, by process {writers[0].process}, failed."
    return "No process ever wrote that value."


def _repeated(output: str, operations: Sequence[Operation]) -> str | None:
    """Return which text a value contains more often than it was appended; None if there is none."""
    appended = Counter(str(operation.value) for operation in operations if operation.f == "append")
    for text, times in appended.items():
        found = output.count(text) if text else 0
        if found > times and not any(_sets(operation, text) for operation in operations):
            often = "once" if times == 1 else f"{times} times"
            return f"The value contains {quoted(text)} {found} times, but it was appended {often}."
    return None


def _sets(operation: Operation, text: str) -> bool:
    """Return whether a write or a cas sets a value that contains the text."""
    value = operation.value
    set_to = value[1] if isinstance(value, list) else value if operation.f == "write" else None
    return set_to is not None and text in set_to


def _could_write(operation: Operation, output: str) -> bool:
    """Return whether the operation's effect could be the value, or a part of it."""
    value = operation.value
    if operation.f == "append":
        return output.endswith(str(value))
    if operation.f == "write":
        return output.startswith(str(value))
    return isinstance(value, list) and value[1] is not None and output.startswith(value[1])
