"""Reading and writing histories. Errors name the line."""

import json

import pytest

from raft_testbed.history import HistoryError, read_history
from tests.support.histories import history_lines


def line(**members: object) -> str:
    return json.dumps({"time": 1, "process": 0, "type": "invoke", "f": "read", "key": "x", "value": None, **members})


def test_a_written_history_is_read_back_unchanged() -> None:
    lines = [
        line(f="write", value="a"),
        line(process=1),
        line(type="ok", f="write", value="a", time=2),
        line(process=1, type="ok", value="a", time=3),
        line(f="cas", value=["b", "c"], time=4),
        line(f="cas", type="fail", value=["b", "c"], error="mismatch", time=5),
        line(f="append", value="z", time=6),
    ]
    operations = read_history(lines)
    assert [o.outcome for o in operations] == ["ok", "ok", "fail", "info"]
    assert operations[1].output == "a"
    assert operations[2].claims_mismatch
    assert list(map(json.loads, history_lines(operations))) == list(map(json.loads, lines))


def test_other_events_and_blank_lines_are_ignored() -> None:
    assert read_history(["", json.dumps({"event": "leader_found"}), line(event="operation", extra=1)])[0].key == "x"


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (["{"], "line 1: invalid JSON"),
        (["[]"], "line 1: list instead of an object"),
        ([line(), line()], "line 2: process 0 calls while"),
        ([line(type="ok")], "line 1: process 0 has an outcome"),
        ([line(), line(type="info"), line()], "line 3: process 0 is reused"),
        ([line(f="jump")], "line 1: 'f' is 'jump'"),
        ([line(type="maybe")], "line 1: type is 'maybe'"),
        ([line(f="cas", value="a")], 'line 1: "a" is not a valid value of a cas'),
        ([line(process="1")], "line 1: 'process' is"),
        ([line(), line(type="ok", key="y")], "line 2: the outcome's 'key'"),
        ([line(), line(type="ok", value=3)], "line 2: 3 is not a valid result of a read"),
    ],
)
def test_a_malformed_line_is_rejected_with_its_number(lines: list[str], what: str) -> None:
    with pytest.raises(HistoryError, match=what.replace("[", "\\[")):
        read_history(lines)


def test_numbered_lines_must_be_consecutive() -> None:
    started = json.dumps({"event": "client_started", "n": 0})
    operations = read_history([started, line(n=1), json.dumps({"event": "other"}), line(n=2, type="ok")])
    assert [operation.outcome for operation in operations] == ["ok"]


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ([line(n=0), line(n=2, type="ok")], "line 2: n is 2 instead of 1: a line is missing"),
        ([line(n=5)], "line 1: n is 5 instead of 0: 5 lines are missing"),
        ([line(n=0), line(n=0)], "line 2: n is 0 instead of 1: the line is repeated"),
        ([line(n=0), json.dumps({"event": "workload_finished", "n": 3})], "line 2: n is 3 instead of 1"),
    ],
)
def test_a_lost_or_repeated_line_is_rejected(lines: list[str], what: str) -> None:
    with pytest.raises(HistoryError, match=what):
        read_history(lines)
