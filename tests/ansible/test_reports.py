"""Reports say what was checked, what failed and what was not reached."""

from __future__ import annotations

from junitparser import JUnitXml

from tests.ansible.plugins import load_plugin

report = load_plugin("filter", "verify_report")
PHASES = ["cluster", "client"]


def checks(ok: bool) -> list[dict]:
    new = [{"name": "one", "ok": True, "evidence": "seen"}, {"name": "two", "ok": ok, "evidence": "a < b | c"}]
    return report.stamp_checks(new, "cluster", 1.25)


def test_junit_has_a_case_for_every_check_and_says_what_was_not_reached() -> None:
    document = JUnitXml.fromstring(report.junit_xml(checks(ok=False), PHASES, "verify"))
    assert (document.tests, document.failures, document.skipped) == (3, 1, 1)
    cases = [case for suite in document for case in suite]
    assert [case.name for case in cases] == ["one", "two", "not reached"]
    assert cases[1].result[0].message == "a < b | c"
    assert cases[0].time == 1.2


def test_the_table_has_a_row_for_every_check() -> None:
    lines = report.summary_table(checks(ok=False), PHASES).splitlines()
    assert len(lines) == 5
    assert "FAILED" in lines[3]
    assert "a < b / c" in lines[3]
    assert "not reached" in lines[4]


def test_a_failed_task_is_added_unless_a_check_failed_already() -> None:
    assert report.with_failure(checks(ok=False), "cluster", "Check", "no", 1.0) == checks(ok=False)
    added = report.with_failure(checks(ok=True), "client", "Read the log", "no such Pod", 1.0)[-1]
    assert (added["phase"], added["ok"], added["evidence"]) == ("client", False, "no such Pod")
