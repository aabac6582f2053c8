"""Filters over the checks of a verification; see `raft_testbed.verification`."""

from __future__ import annotations

from typing import Any

from raft_testbed.report import junit
from raft_testbed.verification import results
from raft_testbed.verification.checks import Check


def junit_xml(checks: list[Check], phases: list[str], name: str) -> str:
    """Return JUnit XML with a suite for each phase."""
    return junit.render(results.junit_suites(checks, phases, name), name).decode()


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {
            "stamp_checks": results.stamp_checks,
            "with_failure": results.with_failure,
            "junit_xml": junit_xml,
            "summary_table": results.summary_table,
        }
