"""`raftctl serve`: rejected options, error messages, kept data, and shutdown."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from tests.integration.clusters import run_raftctl

START_TIMEOUT_SECONDS = 20


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serve(directory, *arguments, node_id="raft-0", listen=None):
    listen = listen or f"127.0.0.1:{free_port()}"
    options = ["--id", node_id, "--listen", listen, "--peers", f"{node_id}={listen}", "--data-dir", str(directory)]
    return [sys.executable, "-m", "raft_pkg.cli", "serve", *options, *arguments]


@pytest.fixture
def start():
    running = []

    def begin(*arguments, **options):
        process = subprocess.Popen(
            serve(*arguments, **options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def wait_for_event(process, name):
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == name:
            return event
    raise AssertionError(f"no {name}: {process.stderr.read()}")


def contents(directory):
    """Return the content of all files but the lock, which names the newest process."""
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.name != "LOCK"}


def http_status(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def refused(*arguments):
    done = run_raftctl("serve", *arguments)
    assert done.returncode == 2, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stderr


def test_sigterm_stops_the_node_and_its_data_is_kept(start, tmp_path):
    process = start(tmp_path / "data")
    leader = wait_for_event(process, "became_leader")
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    again = start(tmp_path / "data")
    assert wait_for_event(again, "became_leader")["term"] > leader["term"]


def test_probes_and_metrics(start, tmp_path):
    http = f"127.0.0.1:{free_port()}"
    process = start(tmp_path / "data", "--http", http)
    wait_for_event(process, "leader_changed")
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while (ready := http_status(f"http://{http}/readyz")) != 200:
        assert ready == 503
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert http_status(f"http://{http}/livez") == 200
    assert b"raft_leader" in urllib.request.urlopen(f"http://{http}/metrics", timeout=2).read()


def test_an_identity_that_is_not_among_the_peers(tmp_path):
    message = refused(
        *("--id", "raft-9", "--listen", "127.0.0.1:0", "--peers", "raft-0=127.0.0.1:6000", "--data-dir"), str(tmp_path)
    )
    assert "raft-9" in message
    assert "--peers" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("peers", "named"),
    [
        ("raft-0", "'raft-0' is not ID=HOST:PORT"),
        ("raft-0=localhost", "raft-0: address 'localhost' is not HOST:PORT"),
        ("raft-0=localhost:x", "'x' is not a port"),
        ("raft-0=a:1,raft-0=b:1", "'raft-0' is named twice"),
        ("raft-0=a:1,raft-1=a:1", "a:1 is the address of two nodes"),
        (",", "names no node"),
    ],
)
def test_invalid_peers(tmp_path, peers, named):
    message = refused("--id", "raft-0", "--listen", "127.0.0.1:0", "--peers", peers, "--data-dir", str(tmp_path))
    assert message.startswith("raftctl: --peers")
    assert named in message


def test_contradictory_time_outs(tmp_path):
    message = refused(
        *("--id", "a", "--peers", "a=127.0.0.1:1", "--data-dir", str(tmp_path / "data")),
        *("--election-timeout-ms-min", "50", "--heartbeat-interval-ms", "100"),
    )
    assert "heartbeat" in message


def test_a_directory_of_another_node(start, tmp_path):
    process = start(tmp_path / "data")
    wait_for_event(process, "became_leader")
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    before = contents(tmp_path / "data")
    message = refused(
        *("--id", "raft-1", "--listen", "127.0.0.1:0", "--peers", "raft-1=127.0.0.1:6000"),
        *("--data-dir", str(tmp_path / "data")),
    )
    assert str(tmp_path / "data") in message
    assert "raft-0" in message
    assert contents(tmp_path / "data") == before


def test_a_directory_in_use(start, tmp_path):
    wait_for_event(start(tmp_path / "data"), "became_leader")
    command = serve(tmp_path / "data")
    message = refused(*command[4:])
    assert str(tmp_path / "data") in message
    assert "use" in message


def test_a_port_in_use(tmp_path):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        message = refused(*serve(tmp_path / "data", listen=address)[4:])
    assert address in message
    assert "in use" in message


def test_a_damaged_log_is_reported_and_kept(start, tmp_path):
    process = start(tmp_path / "data")
    wait_for_event(process, "became_leader")
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    log = max(contents(tmp_path / "data"), key=lambda path: path.stat().st_size)
    content = bytearray(log.read_bytes())
    content[40] ^= 0xFF
    log.write_bytes(content)
    before = contents(tmp_path / "data")
    message = refused(*serve(tmp_path / "data")[4:])
    assert log.name in message
    assert contents(tmp_path / "data") == before


def test_a_directory_without_permission_to_write(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    message = refused(*serve(blocked / "data")[4:])
    assert str(blocked) in message


def test_every_option_can_be_set_by_the_environment(tmp_path, monkeypatch):
    for name, value in {"ID": "raft-5", "PEERS": "raft-0=a:1", "DATA_DIR": str(tmp_path), "LISTEN": "x:1"}.items():
        monkeypatch.setenv(f"RAFT_{name}", value)
    assert "raft-5" in refused()
