"""Real servers inside the test process, wired as in `raft_pkg.server.process`, with real gRPC, files and time."""

import asyncio
import io
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc.aio

from raft_pkg.core.messages import Message
from raft_pkg.events import EventLog
from raft_pkg.kv import KeyValueStore, kv_pb2_grpc
from raft_pkg.kv.service import add_key_value_service
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc import raft_pb2_grpc
from raft_pkg.rpc.options import SERVER_OPTIONS
from raft_pkg.server.config import ServerConfig
from raft_pkg.server.node import Node
from raft_pkg.server.process import _listen, _register_services
from raft_pkg.server.transport import GrpcTransport
from raft_pkg.storage import FileStorage, Filesystem


def free_ports(count: int) -> list[int]:
    """Return free ports of the loopback interface."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Switch:
    """A transport that drops messages from and to nodes that are cut off."""

    def __init__(self, transport: GrpcTransport, cut: set[str]) -> None:
        self.transport, self.cut = transport, cut
        self.update_peers, self.add_remote = transport.update_peers, transport.add_remote

    def send(self, messages: Sequence[Message]) -> None:
        self.transport.send([m for m in messages if not {m.sender, m.recipient} & self.cut])


class Server:
    """One node with its services."""

    def __init__(self, config: ServerConfig, cut: set[str], filesystem: Filesystem | None) -> None:
        self.output = io.StringIO()
        log = EventLog(config.node_id, self.output)
        self.storage = FileStorage(config.data_dir, config.node_id, filesystem=filesystem)
        self.transport = Switch(GrpcTransport(config.node_id, config.peers[config.node_id], log.emit), cut)
        self.node = Node(config, self.storage, KeyValueStore(), self.transport, log)
        self.server = grpc.aio.server(options=SERVER_OPTIONS)
        self.running: asyncio.Task[str]
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        _register_services(self.server, self.node, add_key_value_service)
        self.address = await _listen(self.server, self.node.config.listen)
        self._stack.push_async_callback(self.server.stop, 0.2)
        links = asyncio.create_task(self.transport.transport.run())
        self._stack.callback(links.cancel)
        self.running = asyncio.create_task(self.node.run())
        self.channel = grpc.aio.insecure_channel(self.address)
        self._stack.push_async_callback(self.channel.close)
        self.key_value = kv_pb2_grpc.KeyValueStub(self.channel)

    async def stop(self) -> None:
        self.node.stop("the test is over")
        await asyncio.gather(self.running, return_exceptions=True)
        await self._stack.aclose()
        self.storage.close()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log lines of the node."""
        return [json.loads(line) for line in self.output.getvalue().splitlines()]


class Servers:
    """A cluster of servers by name."""

    def __init__(self, directory: Path, names: Sequence[str], *, filesystem: Filesystem | None = None) -> None:
        self.cut: set[str] = set()
        self._directory = directory
        self._filesystem = filesystem
        ports = free_ports(len(names))
        self.peers = {name: f"127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)}
        has_peers = len(names) > 1  # a busy machine delays nodes; a single node waits for no other
        self._times = {
            "election_timeout_min": 0.4 if has_peers else 0.02,
            "election_timeout_max": 0.8 if has_peers else 0.04,
            "heartbeat_interval": 0.05 if has_peers else 0.01,
        }
        self.all = {name: self._server(name, self.peers) for name in names}

    def _server(self, name: str, peers: Mapping[str, str]) -> Server:
        config = ServerConfig(name, peers[name], peers, self._directory / name, **self._times)
        return Server(config, self.cut, self._filesystem)

    async def join(self, name: str) -> Server:
        """Start one more server, which knows one member and waits to be added."""
        (port,) = free_ports(1)
        known = next(iter(self.peers))
        peers = {name: f"127.0.0.1:{port}", known: self.peers[known]}
        server = self.all[name] = self._server(name, peers)
        await server.start()
        return server

    async def __aenter__(self) -> "Servers":
        for server in self.all.values():
            await server.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await asyncio.gather(*(server.stop() for server in self.all.values()))

    async def leader(self, *, other_than: Server | None = None) -> Server:
        """Wait for a leader that a majority follows; return it."""
        found: list[Server] = []

        def is_found() -> bool:
            found[:] = [one for one in self.all.values() if one is not other_than and self._leads_a_majority(one)]
            return bool(found)

        await until(is_found)
        return found[0]

    def _leads_a_majority(self, server: Server) -> bool:
        votes = [one.node.raft.leader == server.node.config.node_id for one in self.all.values()]
        return server.node.is_leader and 2 * sum(votes) > len(votes)

    async def followers(self) -> list[Server]:
        """Wait until all servers follow the leader; return the followers."""
        leader = await self.leader()
        await until(lambda: {one.node.raft.leader for one in self.all.values()} == {leader.node.config.node_id})
        return [server for server in self.all.values() if server is not leader]


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until the condition holds. Raise `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


class Stream:
    """A client's command stream."""

    def __init__(self, server: Server) -> None:
        self.call = raft_pb2_grpc.CommandStreamStub(server.channel).Run()

    async def send(self, *requests: pb.Request, session_id: int = 0) -> None:
        await self.call.write(pb.RequestBatch(requests=requests, session_id=session_id))

    async def outcomes(self, count: int) -> list[pb.Outcome]:
        """Read outcome messages, in any order."""
        got: list[pb.Outcome] = []
        async with asyncio.timeout(20):
            while len(got) < count:
                batch = await self.call.read()
                assert batch is not grpc.aio.EOF, f"the stream ended after {len(got)} of {count} outcomes"
                got += batch.outcomes
        assert len(got) == count
        return got
