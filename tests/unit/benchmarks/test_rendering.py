"""A run as Markdown and as a page."""

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


def test_the_table_has_figure_target_and_verdict(run):
    text = render.markdown(run)
    assert "| 1 | puts a second, 256 at a time, over etcd | 7.00 | at least 6 times | met |" in text
    assert "| raft_pkg | 140; 1.00 | 35,840; 1.00 |" in text
    assert "etcd 3.4, h2load not installed" in text
    assert "a CPU, 2 cores" in text


def test_what_was_not_measured_is_told(run):
    text = render.markdown(run)
    assert "Not measured: writes, PySyncObj: <it> is not installed" in text
    assert "Not measured: restart: no leader within 60 s" in text


def test_the_page_holds_all_it_needs_and_a_line_for_each_system(run):
    page = render.page(run)
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page)
    assert "&lt;it&gt; is not installed" in page
    content = re.search(r'<script type="application/json" id="content">(.*?)</script>', page, re.DOTALL)[1]
    for element in ("writes-per_second", "writes-p50_ms", "writes-p99_ms"):
        assert f'id="{element}"' in page
        assert element in content
    assert '"raft_pkg"' in content
    assert '"etcd"' in content
    assert '"PySyncObj"' not in content


def test_a_run_without_anything_to_plot_is_a_page_too(run):
    run["records"] = []
    page = render.page(run)
    assert "Against the number" not in page


def test_an_earlier_run_is_drawn_again(run, tmp_path, monkeypatch):
    source = tmp_path / "earlier.json"
    source.write_text(json.dumps(run))
    monkeypatch.setattr("sys.argv", ["bench", "--render", str(source), "--output", str(tmp_path / "out")])
    assert main() == 0
    assert json.loads((tmp_path / "out" / "bench.json").read_text()) == run
    assert (tmp_path / "out" / "bench.md").read_text() == render.markdown(run)
    assert (tmp_path / "out" / "bench.html").stat().st_size > 100_000


def test_a_part_that_there_is_not_is_wrong_usage(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["bench", "writing"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert "no such part: writing" in message
    assert all(part in message for part in PARTS)
