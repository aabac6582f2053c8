"""`raftctl client`: the log lines that playbooks assert on, and the exit status."""

import json

from tests.integration.clusters import run_raftctl


def run_client(*arguments, status=0):
    done = run_raftctl("client", *arguments)
    assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def events(lines, name):
    return [line for line in lines if line["event"] == name]


def test_the_client_logs_its_write_and_its_read(running_cluster):
    lines = run_client("--endpoints", running_cluster["endpoints"], "--run-id", "first", "--operations", "3")
    assert lines[0]["event"] == "client_started"
    assert (lines[0]["run_id"], lines[0]["endpoints"]) == ("first", running_cluster["endpoints"].split(","))
    found = events(lines, "leader_found")[0]
    assert found["leader"] == running_cluster["leader"]
    assert found["address"] in running_cluster["endpoints"]
    assert found["term"] == running_cluster["term"]
    written = events(lines, "write_acknowledged")
    assert [(line["key"], line["value"]) for line in written] == [(f"client/first/{i}", f"first-{i}") for i in range(3)]
    assert [line["index"] for line in written] == sorted({line["index"] for line in written})
    assert [line["key"] for line in events(lines, "read_verified")] == [line["key"] for line in written]
    end = lines[-1]
    assert end["event"] == "workload_finished"
    assert {name: end[name] for name in ("ok", "failed", "unknown", "mismatches", "exit_status")} == {
        "ok": 6,
        "failed": 0,
        "unknown": 0,
        "mismatches": 0,
        "exit_status": 0,
    }


def test_history_lines_are_complete(running_cluster):
    lines = run_client("--endpoints", running_cluster["endpoints"], "--operations", "2")
    history = events(lines, "operation")
    assert [(line["type"], line["f"]) for line in history] == [
        *[("invoke", "write"), ("ok", "write"), ("invoke", "read"), ("ok", "read")] * 2
    ]
    assert {line["process"] for line in history} == {0}
    assert history[2]["value"] is None
    assert history[3]["value"] == history[1]["value"]
    assert [line["time"] for line in history] == sorted(line["time"] for line in history)


def test_the_client_verifies_the_value_of_an_earlier_run(running_cluster):
    at = ("--endpoints", running_cluster["endpoints"])
    run_client(*at, "--run-id", "earlier", "--operations", "2")
    lines = run_client(*at, "--operations", "0", "--expect", "client/earlier/0=earlier-0")
    assert events(lines, "read_verified")[0]["value"] == "earlier-0"
    assert events(lines, "operation") == []


def test_an_unexpected_value_is_a_mismatch(running_cluster):
    at = ("--endpoints", running_cluster["endpoints"], "--operations", "1")
    lines = run_client(*at, "--expect", "client/nobody/0=x", status=1)
    mismatch = events(lines, "read_mismatch")[0]
    assert (mismatch["key"], mismatch["expected"], mismatch["actual"]) == ("client/nobody/0", "x", None)
    assert (lines[-1]["mismatches"], lines[-1]["exit_status"]) == (1, 1)


def test_no_leader_in_time_is_unknown():
    lines = run_client("--endpoints", "127.0.0.1:1", "--timeout", "0.5", status=3)
    assert [line["event"] for line in lines] == ["client_started", "workload_finished"]
    assert (lines[-1]["ok"], lines[-1]["exit_status"]) == (0, 3)
