"""`raftctl report`: exit statuses and output files."""

import json
from pathlib import Path

import pytest

from tests.support.runs import client_lines, fault, stale_history, write_run
from tests.unit.cli.test_check import raftctl


def test_an_ok_run_is_status_0(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page, junit = tmp_path / "new" / "report.html", tmp_path / "other" / "junit.xml"
    assert raftctl("report", str(write_run(tmp_path / "run")), "-o", str(page), "--junit", str(junit)) == 0
    output = capsys.readouterr().out
    assert output.startswith("ok: smoke\n")
    assert f"{page}: " in output
    assert page.read_text().startswith("<!doctype html>")
    assert junit.read_text().startswith("<testsuites")


def test_a_violation_is_status_1_and_in_the_json_object(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", history=client_lines(stale_history()))
    assert raftctl("report", str(run), "-o", str(tmp_path / "report.html"), "--json") == 1
    content = json.loads(capsys.readouterr().out)
    assert content["verdict"] == "violation"
    assert content["findings"][0]["name"] == "linearizability"


def test_unknown_is_3(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", faults=[fault(evidence=[])])
    assert raftctl("report", str(run), "-o", str(tmp_path / "report.html")) == 3


def test_a_missing_run_is_status_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert raftctl("report", str(tmp_path)) == 2
    assert "run.json" in capsys.readouterr().err
