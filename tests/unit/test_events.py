"""The log contract: one JSON object per line, with the documented fields."""

import ast
import inspect
import io
import json
import re
from datetime import UTC, datetime, timedelta

import raft_pkg.events
from raft_pkg.events import Event, EventLog


def logged(*emits, node="raft-0"):
    """Emit events; return the lines as objects."""
    stream = io.StringIO()
    log = EventLog(node, stream)
    for event, arguments in emits:
        log.emit(event, **arguments)
    text = stream.getvalue()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_every_line_has_ts_node_event_and_term_first():
    (line,) = logged((Event.SERVING, {"term": 3, "address": "127.0.0.1:6000"}))
    assert list(line) == ["ts", "node", "event", "term", "address"]
    assert (line["node"], line["event"], line["term"], line["address"]) == ("raft-0", "serving", 3, "127.0.0.1:6000")


def test_ts_is_rfc_3339_in_utc_with_microseconds():
    (line,) = logged((Event.SERVING, {}))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["ts"])
    written = datetime.fromisoformat(line["ts"])
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=1)


def test_the_term_defaults_to_the_greatest_one_logged():
    lines = logged(
        (Event.NODE_STARTED, {}),
        (Event.BECAME_LEADER, {"term": 5}),
        (Event.PEER_CONNECTED, {}),
        (Event.VOTE_GRANTED, {"term": 4}),
        (Event.PEER_CONNECTED, {}),
    )
    assert [line["term"] for line in lines] == [0, 5, 5, 4, 5]


def test_text_is_escaped_to_one_line_and_not_to_ascii():
    (line,) = logged((Event.READ_MISMATCH, {"key": "ключ\n2", "expected": "é", "actual": None}))
    assert (line["key"], line["expected"], line["actual"]) == ("ключ\n2", "é", None)


def test_each_line_is_flushed():
    """Otherwise `kubectl logs` lags behind what happened."""

    class Flushed(io.StringIO):
        flushes = 0

        def flush(self):
            self.flushes += 1

    stream = Flushed()
    log = EventLog("raft-0", stream)
    log.emit(Event.SERVING)
    log.emit(Event.SERVING)
    assert stream.flushes == 2


def test_the_default_stream_is_stdout(capsys):
    EventLog("raft-0").emit(Event.SERVING)
    assert json.loads(capsys.readouterr().out)["event"] == "serving"


def test_event_names_are_lower_case_and_documented():
    """Playbooks rely on names and fields."""
    body = ast.parse(inspect.getsource(raft_pkg.events)).body
    (events,) = [node for node in body if isinstance(node, ast.ClassDef) and node.name == "Event"]
    statements = events.body[1:]
    for name, documentation in zip(statements[::2], statements[1::2], strict=True):
        assert isinstance(name, ast.Assign)
        assert isinstance(documentation, ast.Expr), f"{ast.unparse(name)} has no documentation"
        assert isinstance(documentation.value, ast.Constant)
        assert documentation.value.value.strip()
    for event in Event:
        assert event.value == event.name.lower()
