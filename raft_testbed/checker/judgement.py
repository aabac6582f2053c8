"""The whole judgement on one history: verdict, numbers, and each violation at its smallest and in words."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from raft_testbed.checker import explanation
from raft_testbed.checker.counterexample import Core, minimal_core
from raft_testbed.checker.linearizability import Report, check_history, memory_mb
from raft_testbed.checker.verdict import Verdict
from raft_testbed.history import Operation

VIOLATIONS_EXPLAINED_MAX = 5


@dataclass(slots=True)
class ExplainedViolation:
    """A key whose history can't be explained, told so that a person can see it."""

    key: str
    summary: str
    account: list[str]
    core: Core

    def to_json(self, start: int) -> dict[str, Any]:
        return {
            "key": self.key,
            "summary": self.summary,
            "account": self.account,
            "is_minimal": self.core.is_minimal,
            "states": self.core.report.states,
            "unexplained": _operation_json(self.core.report.unexplained, start),
            "operations": [_operation_json(operation, start) for operation in self.core.operations],
            "any_time": [_operation_json(operation, start) for operation in self.core.free],
        }


@dataclass(slots=True)
class Judgement:
    """What is to be said of a history."""

    report: Report
    start: int
    """Time of the first call, in nanoseconds; all times that are told count from it."""
    outcomes: dict[str, int]
    """Numbers of operations by outcome: ok, fail, info."""
    violations: list[ExplainedViolation]
    """Of the first keys with one, at most VIOLATIONS_EXPLAINED_MAX."""
    seconds: float
    memory_mb: float

    @property
    def verdict(self) -> Verdict:
        return self.report.verdict

    def to_json(self) -> dict[str, Any]:
        """As docs/reference/cli.md has it."""
        keys = self.report.keys
        return {
            "verdict": str(self.verdict),
            "operations": sum(self.outcomes.values()),
            "outcomes": self.outcomes,
            "keys": len(keys),
            "violating_keys": [key.key for key in keys if key.verdict is Verdict.VIOLATION],
            "unknown_keys": {key.key: key.limit for key in keys if key.verdict is Verdict.UNKNOWN},
            "configurations": sum(key.configurations for key in keys),
            "seconds": round(self.seconds, 3),
            "memory_mb": round(self.memory_mb, 1),
            "violations": [violation.to_json(self.start) for violation in self.violations],
        }


def judge_history(
    operations: Sequence[Operation],
    *,
    seconds_max: float | None = None,
    memory_mb_max: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Judgement:
    """Judge, and reduce and tell what is violated; the limits are for the judging alone."""
    began = clock()
    report = check_history(operations, seconds_max=seconds_max, memory_mb_max=memory_mb_max, clock=clock)
    start = operations[0].invoked_at if operations else 0
    violations: list[ExplainedViolation] = []
    for found in report.keys:
        if found.verdict is Verdict.VIOLATION and len(violations) < VIOLATIONS_EXPLAINED_MAX:
            of_key = [operation for operation in operations if operation.key == found.key]
            core = minimal_core(found, of_key, clock=clock)
            violations.append(
                ExplainedViolation(
                    found.key, explanation.summary(core, of_key, start), explanation.account(core, start), core
                )
            )
    counts = Counter(operation.outcome for operation in operations)
    outcomes = {outcome: counts[outcome] for outcome in ("ok", "fail", "info")}
    return Judgement(report, start, outcomes, violations, clock() - began, memory_mb())


def _operation_json(operation: Operation | None, start: int) -> dict[str, Any] | None:
    if operation is None:
        return None
    is_complete = operation.completed is not None
    return {
        "process": operation.process,
        "f": operation.f,
        "value": operation.value,
        "type": operation.outcome,
        "output": operation.output,
        "error": operation.error,
        "invoked_seconds": round((operation.invoked_at - start) / 1e9, 9),
        "completed_seconds": round((operation.completed_at - start) / 1e9, 9) if is_complete else None,
    }
