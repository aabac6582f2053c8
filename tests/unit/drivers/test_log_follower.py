"""Copies of Pods' logs, against an API server on the loopback interface."""

import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from raft_testbed.drivers.kubernetes_api import KubernetesApi
from raft_testbed.drivers.log_follower import LogFollower
from tests.unit.drivers.api_server import CONTEXT, ApiServer, running_server

LOG_PATH = "/api/v1/namespaces/default/pods/client/log"
POD_PATH = "/api/v1/namespaces/default/pods/client"
FILES_PATH = "/api/v1/nodes/worker/proxy/logs/pods/default_client_u/main/"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with running_server() as found:
        yield found


@pytest.fixture
def follower(server: ApiServer, tmp_path: Path) -> LogFollower:
    api = KubernetesApi(str(server.write_kubeconfig(tmp_path / "kubeconfig")), CONTEXT, "default")
    return LogFollower(api, "client", tmp_path / "history.jsonl", threading.Event())


def line(n: int | None = None, event: str = "operation") -> bytes:
    return json.dumps({"event": event} if n is None else {"n": n, "event": event}).encode() + b"\n"


def test_a_log_that_is_read_again_is_written_once(follower: LogFollower, tmp_path: Path) -> None:
    numbered, others = [line(n=0), line(n=1)], [line(event="a"), line(event="b")]
    for text in (*numbered, *others, *numbered, line(n=2), *others, line(event="c")):
        follower.add_line(text)
    written = (tmp_path / "history.jsonl").read_bytes().splitlines(keepends=True)
    assert written == [*numbered, *others, line(n=2), line(event="c")]


def test_a_pod_that_does_not_exist_yet_has_no_output(follower: LogFollower, tmp_path: Path) -> None:
    assert not follower.read_once(previous=True)
    assert not follower.read_once(previous=False)
    assert (tmp_path / "history.jsonl").read_bytes() == b""


def test_an_idle_reader_of_a_rotated_log_reads_the_new_file(
    server: ApiServer, follower: LogFollower, tmp_path: Path
) -> None:
    """Found on kind: a followed log stays with the old file, and the history had a hole."""
    first, second = line(n=0) + line(n=1), line(n=2) + line(n=3)
    follower.numbered_idle_seconds_max = 0.1
    server.followed = [first, second]
    follower.add_line(line(n=0))  # from now on the log counts as numbered
    assert follower.read_once(previous=False)
    assert follower.read_once(previous=False)
    assert (tmp_path / "history.jsonl").read_bytes() == first + second


def test_a_line_that_is_cut_off_is_not_written(server: ApiServer, follower: LogFollower, tmp_path: Path) -> None:
    server.bodies[LOG_PATH] = line(n=0) + b'{"n": 1, "ev'
    assert follower.read_once(previous=False)
    assert (tmp_path / "history.jsonl").read_bytes() == line(n=0)


def test_missing_lines_are_taken_from_the_rotated_files(
    server: ApiServer, follower: LogFollower, tmp_path: Path
) -> None:
    """Found on kind: of 80,000 lines in three rotations, one came by no stream."""
    pod = {
        "metadata": {"namespace": "default", "name": "client", "uid": "u"},
        "spec": {"nodeName": "worker", "containers": [{"name": "main"}]},
    }
    entry = b"2026-01-01T00:00:00Z stdout F "
    server.bodies = {
        POD_PATH: json.dumps(pod).encode(),
        FILES_PATH: b'<pre><a href="0.log">0.log</a><a href="0.log.1.gz">0.log.1.gz</a></pre>',
        f"{FILES_PATH}0.log": entry + line(n=2) + entry + line(n=3),
        f"{FILES_PATH}0.log.1.gz": gzip.compress(entry + line(n=0) + entry + line(n=1)),
    }
    follower.add_line(line(n=0))
    follower.add_line(line(n=3))
    assert (tmp_path / "history.jsonl").read_bytes() == b"".join(line(n=number) for number in range(4))


def test_numbers_that_are_lost_stay_missing(
    follower: LogFollower, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (0, 1, 5):
        follower.add_line(line(n=number))
    assert (tmp_path / "history.jsonl").read_bytes() == line(n=0) + line(n=1) + line(n=5)
    assert "client: lines 2 to 4 are lost" in capsys.readouterr().err
