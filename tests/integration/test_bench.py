"""`raftctl bench` on a real cluster, and its error messages."""

import json

import pytest

from tests.integration.clusters import run_raftctl

SHORT = ("--seconds", "1", "--warm-up", "0.2", "--keys", "50")


def test_a_running_cluster_is_measured(endpoints, running_cluster):
    processes = ",".join(str(node["pid"]) for node in running_cluster["nodes"])
    options = (*SHORT, "--mix", "put,any-get,50/50", "--outstanding", "8", "--processes", processes)
    done = run_raftctl("bench", "--endpoints", endpoints, *options, "--json")
    assert done.returncode == 0, done.stderr
    put, read, mixed = json.loads(done.stdout)["measurements"]
    assert [found["mix"] for found in (put, read, mixed)] == ["put", "any-get", "50/50"]
    for found in (put, read, mixed):
        assert found["outstanding"] == 8
        assert found["count"] == found["puts"]["count"] + found["gets"]["count"] > 0
        assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["max_ms"]
        assert found["processes_cpu_us"] > 0
    assert put["gets"]["count"] == read["puts"]["count"] == 0
    assert put["longest_gap_ms"] > 0
    assert read["longest_gap_ms"] is None


def test_the_default_output_is_a_table(endpoints):
    done = run_raftctl("bench", "--endpoints", endpoints, *SHORT, "--mix", "put", "--outstanding", "1,4")
    assert done.returncode == 0, done.stderr
    heading, *rows = done.stdout.splitlines()
    assert heading.split()[:3] == ["mix", "outstanding", "per"]
    assert [row.split()[:2] for row in rows] == [["put", "1"], ["put", "4"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--outstanding", "0"), "--outstanding: 0 is not 1 to 10000"),
        (("--outstanding", "many"), "--outstanding many"),
        (("--mix", "some"), "--mix some"),
        (("--processes", "0"), "--processes: 0 is not above 0"),
        (("--processes", str(2**22 + 1)), "--processes: "),
    ],
)
def test_invalid_options_are_reported(endpoints, options, message):
    done = run_raftctl("bench", "--endpoints", endpoints, *SHORT, *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unavailable_cluster_is_reported_as_unknown():
    done = run_raftctl("bench", "--endpoints", "127.0.0.1:1", *SHORT, "--mix", "put", "--outstanding", "2")
    assert done.returncode == 3
    assert "no operation succeeded within 1 s" in done.stderr
    assert "Traceback" not in done.stderr
