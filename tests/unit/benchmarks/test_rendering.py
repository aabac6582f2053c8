"""Results of a run as Markdown and HTML."""

import json
import re

import pytest

from tests.benchmarks import render
from tests.benchmarks.__main__ import main
from tests.benchmarks.parts import PARTS


@pytest.fixture
def run():
    records = [
        {
            "part": "writes",
            "system": system,
            "round": round_number,
            "mix": "put",
            "outstanding": outstanding,
            "per_second": speed * outstanding * round_number,
            "p50_ms": 1.0,
            "p99_ms": 3.0,
        }
        for system, speed in (("raft_pkg", 70.0), ("etcd", 10.0))
        for outstanding in (1, 256)
        for round_number in (1, 2, 3)
    ]
    records.append({"part": "writes", "system": "PySyncObj", "round": 0, "not_measured": "<it> is not installed"})
    machine = {"cpu": "a CPU", "cores": 2, "memory_gb": 8.0, "kernel": "6.1", "file_system": "ext4"}
    return {
        "format": 1,
        "began": "2026-01-02T03:04:05+00:00",
        "quick": False,
        "seconds": 90.0,
        "parts": ["writes", "restart"],
        "machine": {**machine, "load_before": 0.5, "load_after": 1.5},
        "versions": {"raft_pkg": "1.0", "etcd": "3.4", "h2load": None},
        "failures": {"restart": "no leader within 60 s"},
        "records": records,
    }


def test_the_table_has_measurement_target_and_verdict(run):
    text = render.markdown(run)
    assert "| 1 | puts per second, 256 outstanding, over etcd | 7.00 | at least 6 times | met |" in text
    assert "| raft_pkg | 140; 1.00 | 35,840; 1.00 |" in text
    assert "etcd 3.4, h2load not installed" in text
    assert "a CPU, 2 cores" in text


def test_parts_that_were_not_measured_are_listed(run):
    text = render.markdown(run)
    assert "Not measured: writes, PySyncObj: <it> is not installed" in text
    assert "Not measured: restart: no leader within 60 s" in text


def test_the_report_is_self_contained_and_has_a_line_for_each_system(run):
    html = render.html(run)
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", html)
    assert "&lt;it&gt; is not installed" in html
    content = re.search(r'<script type="application/json" id="content">(.*?)</script>', html, re.DOTALL)[1]
    for element in ("writes-per_second", "writes-p50_ms", "writes-p99_ms"):
        assert f'id="{element}"' in html
        assert element in content
    assert '"raft_pkg"' in content
    assert '"etcd"' in content
    assert '"PySyncObj"' not in content


def test_a_run_without_plots_has_a_report(run):
    run["records"] = []
    html = render.html(run)
    assert "Throughput and latency against" not in html


def test_the_reports_of_an_earlier_run_are_written_again(run, tmp_path, monkeypatch):
    source = tmp_path / "earlier.json"
    source.write_text(json.dumps(run))
    monkeypatch.setattr("sys.argv", ["bench", "--render", str(source), "--output", str(tmp_path / "out")])
    assert main() == 0
    assert json.loads((tmp_path / "out" / "bench.json").read_text()) == run
    assert (tmp_path / "out" / "bench.md").read_text() == render.markdown(run)
    assert (tmp_path / "out" / "bench.html").stat().st_size > 100_000


def test_an_unknown_part_is_wrong_usage(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["bench", "writing"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert "unknown part: writing" in message
    assert all(part in message for part in PARTS)
