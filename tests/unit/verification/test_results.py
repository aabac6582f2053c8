"""Results of a verification: JUnit XML, table, and the check of a failed task."""

from junitparser import JUnitXml

from raft_testbed.report import junit
from raft_testbed.verification.checks import Check
from raft_testbed.verification.results import junit_suites, stamp_checks, summary_table, with_failure

PHASES = ["cluster", "client"]


def checks(ok: bool) -> list[Check]:
    new: list[Check] = [
        {"name": "one", "ok": True, "evidence": "observed"},
        {"name": "two", "ok": ok, "evidence": "a < b | c"},
    ]
    return stamp_checks(new, "cluster", 1.25)


def test_junit_has_a_case_for_each_check_and_each_phase_that_was_not_reached() -> None:
    document = JUnitXml.fromstring(junit.render(junit_suites(checks(ok=False), PHASES, "verify"), "verify"))
    assert (document.tests, document.failures, document.skipped) == (3, 1, 1)
    cases = [case for suite in document for case in suite]
    assert [case.name for case in cases] == ["one", "two", "not reached"]
    assert cases[1].result[0].message == "a < b | c"
    assert cases[0].time == 1.2


def test_the_table_has_a_row_for_each_check() -> None:
    lines = summary_table(checks(ok=False), PHASES).splitlines()
    assert len(lines) == 5
    assert "FAILED" in lines[3]
    assert "a < b / c" in lines[3]
    assert "not reached" in lines[4]


def test_a_failed_task_is_added_unless_a_check_failed_already() -> None:
    assert with_failure(checks(ok=False), "cluster", "Check", "no", 1.0) == checks(ok=False)
    added = with_failure(checks(ok=True), "client", "Read the log", "no such Pod", 1.0)[-1]
    assert (added["phase"], added["ok"], added["evidence"]) == ("client", False, "no such Pod")
