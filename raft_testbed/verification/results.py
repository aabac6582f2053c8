"""Results of a verification: checks by phase, as JUnit suites and as a table."""

from collections.abc import Iterable, Sequence

from raft_testbed.checker.verdict import Verdict
from raft_testbed.report.junit import Case, Suite
from raft_testbed.verification.checks import Check

NOT_REACHED = ("not reached", "an earlier phase failed")
"""Name and reason of the skipped case of a phase without checks."""


def stamp_checks(checks: Iterable[Check], phase: str, seconds: float) -> list[Check]:
    """Return the checks with their phase; the first one carries the duration of the phase's steps."""
    return [
        {**item, "phase": phase, "seconds": round(seconds, 1) if number == 0 else 0.0}
        for number, item in enumerate(checks)
    ]


def with_failure(checks: Sequence[Check], phase: str, task: str, message: str, seconds: float) -> Sequence[Check]:
    """Return the checks, and the failed task as one more check unless a check failed already."""
    if checks and not all(item["ok"] for item in checks):
        return checks
    failure: Check = {"name": task, "ok": False, "evidence": message, "phase": phase, "seconds": round(seconds, 1)}
    return [*checks, failure]


def junit_suites(checks: Iterable[Check], phases: Iterable[str], name: str) -> list[Suite]:
    """Return a suite for each phase; a phase that was not reached has one skipped case."""
    by_phase: dict[str, list[Case]] = {phase: [] for phase in phases}
    for item in checks:
        verdict = Verdict.OK if item["ok"] else Verdict.VIOLATION
        case = Case(item["name"], f"{name}.{item['phase']}", verdict, item["evidence"], seconds=item["seconds"])
        by_phase.setdefault(item["phase"], []).append(case)
    return [
        Suite(phase, cases or [Case(NOT_REACHED[0], f"{name}.{phase}", None, NOT_REACHED[1])])
        for phase, cases in by_phase.items()
    ]


def summary_table(checks: Sequence[Check], phases: Iterable[str]) -> str:
    """Return a Markdown table that is readable in a terminal as well."""
    rows = [("phase", "check", "verdict", "seconds", "evidence")]
    for item in checks:
        evidence = item["evidence"].replace("\n", " ").replace("|", "/")
        seconds = f"{item['seconds']:.1f}" if item["seconds"] else ""
        rows.append((item["phase"], item["name"], "ok" if item["ok"] else "FAILED", seconds, evidence))
    reached = {item["phase"] for item in checks}
    rows += [(phase, NOT_REACHED[0], "skipped", "", NOT_REACHED[1]) for phase in phases if phase not in reached]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "| " + " | ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|---|")
    return "\n".join(lines)
