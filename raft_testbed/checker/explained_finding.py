"""The result of checking a history: verdict, statistics, and an explained counterexample for each violation."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from raft_testbed.checker.counterexample import Counterexample, minimal_counterexample
from raft_testbed.checker.explanation import explain, summarize
from raft_testbed.checker.linearizability import HistoryFinding, check_history, memory_mb
from raft_testbed.checker.verdict import Verdict
from raft_testbed.history import Operation

VIOLATIONS_EXPLAINED_MAX = 5


@dataclass(slots=True)
class ExplainedViolation:
    """A violation on one key, with its counterexample in sentences."""

    key: str
    summary: str
    explanation: list[str]
    """A line for each operation of the counterexample."""
    counterexample: Counterexample

    def to_json(self, start: int) -> dict[str, Any]:
        finding = self.counterexample.finding
        return {
            "key": self.key,
            "summary": self.summary,
            "explanation": self.explanation,
            "is_minimal": self.counterexample.is_minimal,
            "states": finding.states,
            "unexplained": _operation_json(finding.unexplained, start),
            "operations": [_operation_json(operation, start) for operation in self.counterexample.operations],
            "unconstrained": [_operation_json(operation, start) for operation in self.counterexample.unconstrained],
        }


@dataclass(slots=True)
class ExplainedFinding:
    """The result of checking a history, with its violations explained."""

    finding: HistoryFinding
    start: int
    """Time of the first call in nanoseconds since 1970; reported times are relative to it."""
    outcomes: dict[str, int]
    """Number of operations for each outcome: ok, fail, info."""
    violations: list[ExplainedViolation]
    """Violations on the first keys that have one, at most VIOLATIONS_EXPLAINED_MAX."""
    seconds: float
    """Duration of the check."""
    memory_mb: float
    """Peak memory of the process in MiB."""

    @property
    def verdict(self) -> Verdict:
        return self.finding.verdict

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of `raftctl check --json` (docs/reference/cli.md)."""
        keys = self.finding.keys
        return {
            "verdict": str(self.verdict),
            "operations": sum(self.outcomes.values()),
            "outcomes": self.outcomes,
            "keys": len(keys),
            "violating_keys": [key.key for key in keys if key.verdict is Verdict.VIOLATION],
            "unknown_keys": {key.key: key.limit for key in keys if key.verdict is Verdict.UNKNOWN},
            "search_states": sum(key.search_states for key in keys),
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
) -> ExplainedFinding:
    """Check a history, and reduce and explain its violations. The limits apply to the check alone."""
    began = clock()
    finding = check_history(operations, seconds_max=seconds_max, memory_mb_max=memory_mb_max, clock=clock)
    start = operations[0].invoked_at if operations else 0
    violations: list[ExplainedViolation] = []
    for found in finding.keys:
        if found.verdict is Verdict.VIOLATION and len(violations) < VIOLATIONS_EXPLAINED_MAX:
            of_key = [operation for operation in operations if operation.key == found.key]
            counterexample = minimal_counterexample(found, of_key, clock=clock)
            summary = summarize(counterexample, of_key, start)
            violations.append(ExplainedViolation(found.key, summary, explain(counterexample, start), counterexample))
    counts = Counter(operation.outcome for operation in operations)
    outcomes = {outcome: counts[outcome] for outcome in ("ok", "fail", "info")}
    return ExplainedFinding(finding, start, outcomes, violations, clock() - began, memory_mb())


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
