"""Single operations through raftctl: output, JSON shapes and exit status as in docs/reference/cli.md."""

import json
import signal
import socket
import subprocess
import sys

import pytest

from tests.integration.clusters import run_raftctl


def run_json(*arguments, status=0, **options):
    done = run_raftctl(*arguments, "--json", **options)
    assert done.returncode == status, done
    return json.loads(done.stdout)


def test_put_and_get(endpoints):
    done = run_raftctl("put", "greeting", "hello", "--endpoints", endpoints)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run_raftctl("get", "greeting", "--endpoints", endpoints)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")


def test_json_shapes(endpoints):
    at = ("--endpoints", endpoints)
    put = run_json("put", "shape", "a", *at)
    assert put == {"key": "shape", "ok": True, "index": put["index"]}
    assert put["index"] > 0
    assert run_json("get", "shape", *at) == {"key": "shape", "ok": True, "found": True, "value": "a"}
    assert run_json("get", "shape-none", *at, status=1) == {
        "key": "shape-none",
        "ok": True,
        "found": False,
        "value": None,
    }
    cas = run_json("cas", "shape", "a", "b", *at)
    assert cas == {"key": "shape", "ok": True, "succeeded": True, "index": cas["index"]}
    cas = run_json("cas", "shape", "a", "c", *at, status=1)
    assert cas == {"key": "shape", "ok": True, "succeeded": False, "index": cas["index"], "current": "b"}
    assert run_json("append", "shape", "!", *at) == {"key": "shape", "ok": True, "length": 2}
    assert run_json("delete", "shape", *at) == {"key": "shape", "ok": True, "existed": True}
    assert run_json("delete", "shape", *at, status=1) == {"key": "shape", "ok": True, "existed": False}
    cas = run_json("cas", "shape", "a", "b", *at, status=1)
    assert cas["current"] is None
    assert run_json("cas", "--absent", "shape", "new", *at)["succeeded"] is True


def test_a_missing_key_and_a_mismatch_are_reported(endpoints):
    done = run_raftctl("get", "[red]absent[/red]", "--endpoints", endpoints)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "raftctl: no such key: '[red]absent[/red]'\n")
    run_raftctl("put", "other", "b", "--endpoints", endpoints)
    done = run_raftctl("cas", "other", "a", "c", "--endpoints", endpoints)
    assert (done.returncode, done.stderr) == (1, "raftctl: cas of key 'other': its value is 'b'\n")


def test_binary_values_are_unchanged(endpoints):
    value = bytes(range(256))
    at = ("--endpoints", endpoints)
    assert run_raftctl("put", "binary", "--value-file", "-", *at, stdin=value).returncode == 0
    assert run_json("get", "binary", *at)["value_base64"].startswith("AAECAw")


def test_a_value_over_the_limit_is_rejected(endpoints):
    at = ("--endpoints", endpoints)
    run_raftctl("put", "large", "small", *at)
    done = run_raftctl("put", "large", "--value-file", "-", *at, stdin=bytes(1024 * 1024 + 1))
    assert done.returncode == 2
    assert "1048577 bytes for key 'large'" in done.stderr
    assert "1048576" in done.stderr
    failed = run_json("put", "k" * 1025, "v", *at, status=2)
    assert (failed["ok"], failed["outcome"]) == (False, "invalid")
    assert run_raftctl("get", "large", *at).stdout == "small\n"


def test_a_value_at_the_limit_is_stored(endpoints):
    at = ("--endpoints", endpoints)
    value = b"v" * 1024 * 1024
    assert run_raftctl("put", "full", "--value-file", "-", *at, stdin=value).returncode == 0
    assert run_raftctl("get", "full", *at).stdout == value.decode() + "\n"
    done = run_raftctl("append", "full", "w", *at)
    assert done.returncode == 2, done.stderr
    assert "full" in done.stderr


def test_an_unavailable_cluster_is_exit_status_3_within_the_deadline():
    failed = run_json("put", "k", "v", "--endpoints", "127.0.0.1:1", "--timeout", "0.5", status=3)
    assert (failed["ok"], failed["outcome"]) == (False, "failed")
    assert "127.0.0.1:1" in failed["error"]
    assert run_raftctl("status", "--endpoints", "127.0.0.1:1").returncode == 3


def test_status_shape(running_cluster):
    status = run_json("status", "--endpoints", running_cluster["endpoints"])
    assert status["leader"] == running_cluster["leader"]
    assert [node["id"] for node in status["nodes"]] == ["raft-0", "raft-1", "raft-2"]
    members = "endpoint reachable id role term leader_id leader_address commit_index applied_index last_log_index"
    for node in status["nodes"]:
        snapshot = "learners first_log_index snapshot_index"
        assert sorted(node) == sorted([*members.split(), *snapshot.split(), "voters", "version", "uptime_seconds"])
        assert node["term"] == status["term"]
        assert node["voters"] == ["raft-0", "raft-1", "raft-2"]


def test_status_with_an_unreachable_endpoint(running_cluster):
    endpoints = running_cluster["endpoints"]
    leader = next(node["endpoint"] for node in running_cluster["nodes"] if node["role"] == "leader")
    status = run_json("status", "--endpoints", f"{endpoints},127.0.0.1:1")
    assert status["nodes"][3] == {
        "endpoint": "127.0.0.1:1",
        "reachable": False,
        "error": status["nodes"][3]["error"],
    }
    assert "refused" in status["nodes"][3]["error"]
    assert run_json("status", "--endpoints", f"{leader},127.0.0.1:1", status=3)["leader"] is None
    text = run_raftctl("status", "--endpoints", f"{endpoints},127.0.0.1:1")
    assert "unreachable" in text.stdout


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (("get", "k", "--timeout", "30"), signal.SIGINT),
        (("client",), signal.SIGINT),
        (("client",), signal.SIGTERM),
    ],
)
def test_an_interrupt_prints_no_traceback(arguments, number):
    """The signal is sent once the command has connected to an address that accepts connections and never responds."""
    # a shell's background processes ignore SIGINT, and children inherit that
    command = ["env", "--default-signal=INT,TERM", sys.executable, "-m", "raft_pkg.cli", *arguments]
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        endpoint = "{}:{}".format(*server.getsockname())
        with subprocess.Popen(
            [*command, "--endpoints", endpoint], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            connection, _ = server.accept()
            with connection:
                process.send_signal(number)
                _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
