"""The page and the JUnit file: what is in them, without a browser."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

from raft_testbed.report import junit, report
from raft_testbed.verdict.directory import read_run
from raft_testbed.verdict.judge import RunVerdict, judge_run
from tests.support.runs import client_lines, fault, node_line, node_lines, operations, stale_history, write_run


def judged(directory: Path) -> RunVerdict:
    return judge_run(read_run(directory))


def test_the_verdict_comes_first_and_nothing_from_elsewhere(tmp_path: Path) -> None:
    html = report.render(judged(write_run(tmp_path / "run")))
    body = html[html.index("<body>") :]
    assert body.index("ok: every promise was kept") < body.index("<h2>")
    elements = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert not re.search(r"(src|href)=\"(?!data:)", elements)
    assert "@import" not in elements
    assert "What can't be explained" not in body


def test_a_violation_is_told_at_the_top(tmp_path: Path) -> None:
    html = report.render(judged(write_run(tmp_path / "run", history=client_lines(stale_history()))))
    body = html[html.index("<body>") :]
    assert body.index("violation: a promise was broken") < body.index("What can't be explained")
    plots = json.loads(body.split('id="plots">')[1].split("</script>")[0])
    assert "✗ read" in str(plots)


def test_a_fault_that_did_not_happen_is_not_called_a_broken_promise(tmp_path: Path) -> None:
    unseen = fault(evidence=[{"expected": "another leads", "observed": "raft-0 leads still", "holds": False}])
    html = report.render(judged(write_run(tmp_path / "run", faults=[unseen])))
    assert "violation: a fault did not have the expected effect" in html
    assert "a promise was broken" not in html


def test_values_are_never_markup(tmp_path: Path) -> None:
    """A key or a fault's name can't end the script element that holds the plots, nor add an element."""
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


def test_faults_are_listed_with_what_they_cost(tmp_path: Path) -> None:
    skipped = {"fault": "clock_jump", "targets": [], "skipped": "processes share one clock"}
    html = report.render(judged(write_run(tmp_path / "run", faults=[fault(), skipped])))
    table = html[html.index('<table id="faults">') : html.index("</table>")]
    assert "at most 0.9 s" in table
    assert re.search(r"0\.5\d\d s", table)
    assert "skipped: processes share one clock" in table


def test_a_run_without_faults_is_drawn(tmp_path: Path) -> None:
    """Found by a run that failed before the first was over."""
    assert "There was none." in report.render(judged(write_run(tmp_path / "run", faults=[])))


def test_why_a_run_did_not_come_to_its_end_is_told_at_the_top(tmp_path: Path) -> None:
    html = report.render(judged(write_run(tmp_path / "run", change=lambda d: d.update(failure="raft-0 is stopped"))))
    assert html.index("raft-0 is stopped") < html.index("<h2>")


def test_a_mutant_is_named_everywhere(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-0"].insert(1, node_line("raft-0", -1, "mutant_planted", 0, mutant="vote_twice", breaks="Votes twice."))
    verdict = judged(write_run(tmp_path / "run", logs=logs))
    assert verdict.to_json()["mutants"] == {"vote_twice": "Votes twice."}
    html = report.render(verdict)
    assert html.index("(vote_twice): Votes twice.") < html.index("<h2>")
    (prop,) = ElementTree.fromstring(junit.render(verdict)).iter("property")
    assert prop.get("value") == "vote_twice: Votes twice."


def test_junit_has_a_case_for_each_promise(tmp_path: Path) -> None:
    reason = {"votes": "not logged"}
    run = write_run(
        tmp_path / "run",
        history=client_lines(stale_history()),
        faults=[fault(evidence=[])],
        change=lambda d: d.update(not_judged=reason),
    )
    verdict = judged(run)
    root = ElementTree.fromstring(junit.render(verdict))
    cases = {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")}
    assert list(cases) == [found.name for found in verdict.findings]
    assert cases["linearizability"] == ["failure"]
    assert cases["coverage"] == ["error"]
    assert cases["votes"] == ["skipped"]
    assert cases["leaders"] == ["system-out"]
    (suite,) = root.iter("testsuite")
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("1", "1", "1")
