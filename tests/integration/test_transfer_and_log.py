"""`raftctl transfer` and `raftctl log` on a real cluster."""

import json

from tests.integration.clusters import run_raftctl


def test_leadership_is_transferred_to_the_target_and_no_write_is_lost(new_cluster):
    up = new_cluster.up()
    endpoints = ("--endpoints", up["endpoints"])
    assert run_raftctl("put", "kept", "value", *endpoints).returncode == 0
    leader, term = up["leader"], up["term"]
    for target in [node["id"] for node in up["nodes"] if node["id"] != leader]:
        done = run_raftctl("transfer", target, "--json", *endpoints)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["leader"] == target
        assert answer["term"] > term
        term = answer["term"]
    assert run_raftctl("get", "kept", *endpoints).stdout == "value\n"


def test_an_impossible_transfer_is_rejected_with_the_reason(new_cluster):
    up = new_cluster.up()
    endpoints = ("--endpoints", up["endpoints"])
    unknown = run_raftctl("transfer", "raft-9", *endpoints)
    assert unknown.returncode == 1
    assert "raft-9 is not another voter" in unknown.stderr
    silent = next(node["id"] for node in up["nodes"] if node["id"] != up["leader"])
    new_cluster.control("kill", silent)
    refused = run_raftctl("transfer", silent, *endpoints)
    assert refused.returncode == 1
    assert silent in refused.stderr
    assert new_cluster.control("status", status=0)["leader"] == up["leader"]


def test_log_shows_entries_and_reports_damage(new_cluster):
    up = new_cluster.up("--nodes", "1")
    assert run_raftctl("put", "key", "value", "--endpoints", up["endpoints"]).returncode == 0
    data = new_cluster.directory / "raft-0" / "data"
    while_running = run_raftctl("log", "verify", str(data), "--json")
    assert while_running.returncode == 0, while_running.stderr
    new_cluster.control("down")
    report = json.loads(run_raftctl("log", "verify", str(data), "--json").stdout)
    assert report["node"] == "raft-0"
    assert report["last_log_index"] == 4
    assert report["torn_bytes"] == 0

    records = [json.loads(line) for line in run_raftctl("log", "inspect", str(data), "--json").stdout.splitlines()]
    entries = [(record["index"], record["kind"]) for record in records if record["record"] == "entry"]
    assert entries == [(1, "configuration"), (2, "noop"), (3, "open_session"), (4, "commands")]

    segment = data / records[0]["file"]
    content = bytearray(segment.read_bytes())
    content[records[1]["offset"] + 20] ^= 1
    segment.write_bytes(content)
    for command in (("log", "verify", str(data)), ("log", "inspect", str(data))):
        done = run_raftctl(*command)
        assert done.returncode == 2
        assert segment.name in done.stderr
    assert "damaged" in new_cluster.refused("up") or segment.name in new_cluster.refused("up")
    assert segment.read_bytes() == content


def test_a_directory_without_a_log_is_a_usage_error(tmp_path):
    done = run_raftctl("log", "verify", str(tmp_path))
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr
