"""`raftctl check`: exit statuses, output and the JSON object."""

import io
import json
import sys
from pathlib import Path

import pytest

from raft_pkg.cli import main
from tests.support.histories import Generator, history_lines

HISTORIES = Path(__file__).parent.parent / "checker" / "histories"


def raftctl(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_a_linearizable_history_is_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert raftctl("check", str(HISTORIES / "appends.jsonl")) == 0
    assert capsys.readouterr().out.startswith("ok: 3 operations (3 ok, 0 fail, 0 info) on 1 keys\n")


def test_a_violation_is_status_1_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert raftctl("check", str(HISTORIES / "stale-read.jsonl")) == 1
    output = capsys.readouterr().out
    assert output.startswith("violation: ")
    assert "process 0 wrote 'b'" in output


def test_a_reached_limit_is_status_3(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    hard = Generator(1, 2000, clients=16, keys=1, unknown_share=0.3).run()
    path.write_text("".join(f"{line}\n" for line in history_lines(hard)))
    assert raftctl("check", str(path), "--memory-limit-mb", "1") == 3
    assert "key 'key-0': unknown: the memory limit was reached" in capsys.readouterr().out


def test_the_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert raftctl("check", "--json", str(HISTORIES / "stale-read.jsonl")) == 1
    content = json.loads(capsys.readouterr().out)
    (violation,) = content.pop("violations")
    assert {name: type(value) for name, value in content.items()} == {
        **dict.fromkeys(("verdict",), str),
        **dict.fromkeys(("operations", "keys", "search_states"), int),
        **dict.fromkeys(("outcomes", "unknown_keys"), dict),
        **dict.fromkeys(("seconds", "memory_mb"), float),
        "violating_keys": list,
    }
    assert content["verdict"] == "violation"
    assert content["outcomes"] == {"ok": 3, "fail": 0, "info": 0}
    assert content["violating_keys"] == ["x"]
    assert set(violation) == {
        *("key", "summary", "explanation", "is_minimal", "states", "unexplained", "operations", "unconstrained"),
    }
    assert violation["unexplained"] == {
        "process": 1,
        "f": "read",
        "value": None,
        "type": "ok",
        "output": "a",
        "error": None,
        "invoked_seconds": 0.004,
        "completed_seconds": 0.005,
    }


def test_reads_a_history_from_stdin(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO((HISTORIES / "appends.jsonl").read_text()))
    assert raftctl("check", "-") == 0


def test_an_unreadable_history_is_status_2_with_the_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"event": "other"}\n{\n')
    assert raftctl("check", str(path)) == 2
    assert capsys.readouterr().err.startswith(f"raftctl: {path}: line 2: invalid JSON")


def test_a_missing_file_is_status_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert raftctl("check", str(tmp_path / "none.jsonl")) == 2
    assert "No such file" in capsys.readouterr().err
