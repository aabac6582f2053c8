"""A node as a process, run inside the test process: services, probes and log lines."""

import asyncio
import json
import os
import signal
import socket
import urllib.error
import urllib.request

import grpc
import pytest

from raft_pkg.client import AsyncRaftClient
from raft_pkg.errors import ConfigurationError, DirectoryInUseError
from raft_pkg.kv import KeyValueStore, kv_pb2_grpc
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.kv.service import add_key_value_service
from raft_pkg.server.config import ServerConfig
from raft_pkg.server.process import _serve
from raft_pkg.server.transport import GrpcTransport
from tests.support.examples import LockService
from tests.support.servers import free_ports, until


def config(tmp_path, *, node_id="a", names=("a",)):
    """Return a configuration; with one name, the node elects itself at once, with more, it never does."""
    http, *ports = free_ports(1 + len(names))
    peers = {name: f"127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)}
    return ServerConfig(
        node_id,
        peers[node_id],
        peers,
        tmp_path / "data",
        http=f"127.0.0.1:{http}",
        election_timeout_min=0.02,
        election_timeout_max=0.04,
        heartbeat_interval=0.01,
    )


async def fetch(config, path):
    """Return status and text of an HTTP page of the node."""

    def read():
        try:
            with urllib.request.urlopen(f"http://{config.http}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(read)


class CapturedLog:
    """The log lines of a node in this process."""

    def __init__(self, capsys):
        self._capsys = capsys
        self._text = ""

    @property
    def events(self):
        self._text += self._capsys.readouterr().out
        return [json.loads(line) for line in self._text.splitlines()]

    def has(self, event):
        return any(one["event"] == event for one in self.events)


@pytest.fixture
def output(capsys):
    return CapturedLog(capsys)


async def test_a_node_serves_until_sigterm_and_logs_its_lifecycle(tmp_path, output):
    settings = config(tmp_path)
    serving = asyncio.create_task(_serve(settings, KeyValueStore(), add_key_value_service))
    await until(lambda: output.has("became_leader"))
    async with grpc.aio.insecure_channel(settings.listen) as channel:
        await kv_pb2_grpc.KeyValueStub(channel).Put(kv.PutRequest(key="key", value=b"1"))
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving, 10)
    events = output.events
    assert [event["event"] for event in events[:3]] == ["node_started", "log_recovered", "serving"]
    assert events[0]["peers"] == {"a": settings.listen}
    assert (events[0]["election_timeout_ms"], events[0]["heartbeat_interval_ms"]) == ([20, 40], 10)
    assert events[2]["address"] == settings.listen
    (used,) = [event for event in events if event["event"] == "resources_used"]
    assert used["resident_bytes"] > 10 << 20
    assert used["open_files"] > 3
    assert used["data_bytes"] > 0
    assert (events[-1]["event"], events[-1]["reason"]) == ("node_stopped", "SIGTERM")
    for address in (settings.listen, settings.http):
        host, port = address.split(":")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)))


async def test_another_state_machine_is_served_without_the_key_value_service(tmp_path, output):
    """Regression: the KeyValue service sent KvCommands to any state machine."""
    options = config(tmp_path)
    serving = asyncio.create_task(_serve(options, LockService()))
    await until(lambda: output.has("became_leader"))
    async with grpc.aio.insecure_channel(options.listen) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await kv_pb2_grpc.KeyValueStub(channel).Put(kv.PutRequest(key="key", value=b"1"))
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    async with AsyncRaftClient(options.listen) as client:
        assert await client.command(b"acquire deploy alice") == b"granted 1"
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving, 10)


async def test_probes_and_metrics_over_http(tmp_path, output):
    settings = config(tmp_path)
    serving = asyncio.create_task(_serve(settings, KeyValueStore()))
    await until(lambda: output.has("became_leader"))
    assert await fetch(settings, "/livez") == (200, "ok\n")
    assert await fetch(settings, "/readyz") == (200, "ok\n")
    status, metrics = await fetch(settings, "/metrics")
    assert status == 200
    assert 'raft_leader{node="a"} 1.0' in metrics
    assert "process_resident_memory_bytes" in metrics
    for name in ("raft_term", "raft_commit_index", "raft_applied_index", "raft_last_log_index"):
        assert f'{name}{{node="a"}}' in metrics
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.wait_for(serving, 10)
    assert output.events[-1]["reason"] == "SIGINT"


async def test_a_node_without_a_leader_is_live_and_not_ready(tmp_path, output):
    settings = config(tmp_path, names=("a", "b", "c"))
    serving = asyncio.create_task(_serve(settings, KeyValueStore()))
    await until(lambda: output.has("serving"))
    assert await fetch(settings, "/livez") == (200, "ok\n")
    assert await fetch(settings, "/readyz") == (503, "no\n")
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving, 10)


async def test_an_idle_connection_does_not_block_a_probe(tmp_path, output):
    """Regression: one thread served all connections, so an idle one made the kubelet kill the Pod."""
    settings = config(tmp_path)
    serving = asyncio.create_task(_serve(settings, KeyValueStore()))
    await until(lambda: output.has("serving"))
    host, port = settings.http.split(":")
    with socket.create_connection((host, int(port))):
        assert await asyncio.wait_for(fetch(settings, "/livez"), 4) == (200, "ok\n")
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving, 10)


@pytest.mark.parametrize("option", ["listen", "http"])
async def test_an_address_in_use_is_reported_with_its_option(tmp_path, option):
    settings = config(tmp_path)
    host, port = getattr(settings, option).split(":")
    with socket.socket() as taken:
        taken.bind((host, int(port)))
        taken.listen()
        with pytest.raises(ConfigurationError, match=f"--{option} {host}:{port}: Address already in use"):
            await _serve(settings, KeyValueStore())


async def test_a_directory_in_use_is_rejected_before_anything_is_served(tmp_path, output):
    settings = config(tmp_path)
    serving = asyncio.create_task(_serve(settings, KeyValueStore()))
    await until(lambda: output.has("serving"))
    other = config(tmp_path)
    with pytest.raises(DirectoryInUseError, match=str(os.getpid())):
        await _serve(other, KeyValueStore())
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving, 10)


async def test_a_node_whose_links_fail_stops_with_the_error(tmp_path, output, monkeypatch):
    """Regression: the node continued without links to its peers, and appeared live."""

    async def fail(_self):
        raise RuntimeError("a bug in the links")

    monkeypatch.setattr(GrpcTransport, "run", fail)
    with pytest.raises(RuntimeError, match="a bug in the links"):
        await asyncio.wait_for(_serve(config(tmp_path), KeyValueStore()), 10)
    assert output.events[-1]["reason"] == "the links to the peers ended"
