"""Filters that turn the checks of a verification into reports."""

from __future__ import annotations

from typing import Any

Check = dict[str, Any]


def stamp_checks(checks: list[Check], phase: str, seconds: float) -> list[Check]:
    """Checks with their phase; the first carries the time that the phase's steps took, the others came of the same."""
    return [
        item | {"phase": phase, "seconds": round(seconds, 1) if number == 0 else 0.0}
        for number, item in enumerate(checks)
    ]


def with_failure(checks: list[Check], phase: str, task: str, message: str, seconds: float) -> list[Check]:
    """Checks, and the task that failed where it was none of them."""
    if checks and not all(item["ok"] for item in checks):
        return checks
    failure = {"name": task, "ok": False, "evidence": message, "phase": phase, "seconds": round(seconds, 1)}
    return [*checks, failure]


def junit_xml(checks: list[Check], phases: list[str], name: str) -> str:
    """JUnit XML: a suite for each phase, a skipped case for a phase that was not reached."""
    # here, since every other filter of this file does without
    from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite  # noqa: PLC0415

    document = JUnitXml(name)
    for phase in phases:
        suite = TestSuite(phase)
        for item in (item for item in checks if item["phase"] == phase):
            case = TestCase(item["name"], classname=f"{name}.{phase}", time=item["seconds"])
            case.system_out = item["evidence"]
            if not item["ok"]:
                case.result = [Failure(item["evidence"])]
            suite.add_testcase(case)
        if not len(suite):
            case = TestCase("not reached", classname=f"{name}.{phase}")
            case.result = [Skipped("an earlier phase failed")]
            suite.add_testcase(case)
        document.add_testsuite(suite)
    document.update_statistics()
    text = document.tostring()
    return text.decode() if isinstance(text, bytes) else str(text)


def summary_table(checks: list[Check], phases: list[str]) -> str:
    """A Markdown table that reads well in a terminal too."""
    rows = [("phase", "check", "verdict", "seconds", "evidence")]
    for item in checks:
        evidence = item["evidence"].replace("\n", " ").replace("|", "/")
        verdict = "ok" if item["ok"] else "FAILED"
        rows.append(
            (item["phase"], item["name"], verdict, f"{item['seconds']:.1f}" if item["seconds"] else "", evidence)
        )
    reached = {item["phase"] for item in checks}
    rows += [
        (phase, "not reached", "skipped", "", "an earlier phase failed") for phase in phases if phase not in reached
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "| " + " | ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|---|")
    return "\n".join(lines)


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {
            "stamp_checks": stamp_checks,
            "with_failure": with_failure,
            "junit_xml": junit_xml,
            "summary_table": summary_table,
        }
