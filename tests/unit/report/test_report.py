"""Content of the report and of JUnit XML, without a browser."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

from raft_testbed.report import junit, report
from raft_testbed.verdict.directory import read_run
from raft_testbed.verdict.judge import RunFinding, judge_run
from tests.support.runs import client_lines, fault, node_line, node_lines, operations, stale_history, write_run


def judged(directory: Path) -> RunFinding:
    return judge_run(read_run(directory))


def test_the_report_starts_with_the_verdict_and_loads_nothing(tmp_path: Path) -> None:
    html = report.render(judged(write_run(tmp_path / "run")))
    body = html[html.index("<body>") :]
    assert body.index("ok: every property holds") < body.index("<h2>")
    elements = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert not re.search(r"(src|href)=\"(?!data:)", elements)
    assert "@import" not in elements
    assert "Violations of linearizability" not in body


def test_a_violation_comes_first(tmp_path: Path) -> None:
    html = report.render(judged(write_run(tmp_path / "run", history=client_lines(stale_history()))))
    body = html[html.index("<body>") :]
    assert body.index("violation: a property does not hold") < body.index("Violations of linearizability")
    plots = json.loads(body.split('id="plots">')[1].split("</script>")[0])
    assert "✗ read" in str(plots)


def test_a_fault_without_effect_has_a_title_of_its_own(tmp_path: Path) -> None:
    without_effect = fault(evidence=[{"expected": "another leader", "observed": "raft-0 still leads", "holds": False}])
    html = report.render(judged(write_run(tmp_path / "run", faults=[without_effect])))
    assert "violation: a fault did not have the expected effect" in html
    assert "a property does not hold" not in html


def test_values_are_escaped(tmp_path: Path) -> None:
    """A key or the name of a fault can neither end the script element of the plots nor add an element."""
    evil = "</script><script>alert(1)</script>"
    history = operations(200)
    for operation in history:
        operation.key = evil
    run = write_run(
        tmp_path / "run",
        history=client_lines(history),
        faults=[fault(fault=evil)],
        change=lambda d: d.update(name=evil, operations_ok_min=1),
    )
    assert evil not in report.render(judged(run))


def test_faults_are_listed_with_their_unavailability(tmp_path: Path) -> None:
    skipped = {"fault": "clock_jump", "targets": [], "skipped": "processes share one clock"}
    html = report.render(judged(write_run(tmp_path / "run", faults=[fault(), skipped])))
    table = html[html.index('<table id="faults">') : html.index("</table>")]
    assert "at most 0.9 s" in table
    assert re.search(r"0\.5\d\d s", table)
    assert "skipped: processes share one clock" in table


def test_a_run_without_faults_has_a_report(tmp_path: Path) -> None:
    """Regression, found by a run that was aborted before the end of its first fault."""
    assert "The run had no faults." in report.render(judged(write_run(tmp_path / "run", faults=[])))


def test_the_reason_of_an_aborted_run_comes_first(tmp_path: Path) -> None:
    html = report.render(judged(write_run(tmp_path / "run", change=lambda d: d.update(failure="raft-0 is stopped"))))
    assert html.index("raft-0 is stopped") < html.index("<h2>")


def test_a_mutant_is_named_in_every_output(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-0"].insert(1, node_line("raft-0", -1, "mutant_loaded", 0, mutant="twice", description="Votes twice."))
    finding = judged(write_run(tmp_path / "run", logs=logs))
    assert finding.to_json()["mutants"] == {"twice": "Votes twice."}
    html = report.render(finding)
    assert html.index("(twice): Votes twice.") < html.index("<h2>")
    (prop,) = ElementTree.fromstring(junit.render([junit.run_suite(finding)])).iter("property")
    assert prop.get("value") == "twice: Votes twice."


def test_junit_has_a_case_for_each_property(tmp_path: Path) -> None:
    reason = {"votes": "not logged"}
    run = write_run(
        tmp_path / "run",
        history=client_lines(stale_history()),
        faults=[fault(evidence=[])],
        change=lambda d: d.update(not_judged=reason),
    )
    finding = judged(run)
    root = ElementTree.fromstring(junit.render([junit.run_suite(finding)]))
    cases = {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")}
    assert list(cases) == [item.name for item in finding.findings]
    assert cases["linearizability"] == ["failure"]
    assert cases["coverage"] == ["error"]
    assert cases["votes"] == ["skipped"]
    assert cases["election safety"] == ["system-out"]
    (suite,) = root.iter("testsuite")
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("1", "1", "1")
