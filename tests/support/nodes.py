"""Real nodes with real files in virtual time: the loop of each is turned by hand, messages go through memory."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from raft_pkg.core.messages import Message
from raft_pkg.events import EventLog
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.server.config import ServerConfig
from raft_pkg.server.node import Node
from raft_pkg.storage import FileStorage, Filesystem
from tests.support.journal import Journal, JournaledNode


class Waiter:
    """Takes outcomes; `flushed` holds those that a client would have got."""

    def __init__(self) -> None:
        self._completed: list[pb.Outcome] = []
        self.flushed: list[pb.Outcome] = []

    def complete(self, outcome: pb.Outcome) -> None:
        self._completed.append(outcome)

    def flush(self) -> None:
        self.flushed += self._completed
        self._completed = []

    @property
    def codes(self) -> list[str]:
        """What became of each request, in the order of the outcomes."""
        return [pb.OutcomeCode.Name(outcome.code).removeprefix("OUTCOME_CODE_") for outcome in self.flushed]


class Wire:
    """Takes a node's messages into the cluster's network: those to nodes whose address it was told."""

    def __init__(self, network: list[Message]) -> None:
        self._network = network
        self.addresses: dict[str, str] = {}
        self.non_members: dict[str, str] = {}

    def update_peers(self, addresses: Mapping[str, str]) -> None:
        self.addresses = dict(addresses)

    def add_remote(self, node_id: str, address: str) -> None:
        self.non_members[node_id] = address

    def send(self, messages: Sequence[Message]) -> None:
        known = self.addresses.keys() | self.non_members.keys()
        self._network += [message for message in messages if message.recipient in known]


def put(key: str, value: bytes = b"value", *, request_id: int = 1, sequence: int = 0) -> pb.Request:
    """A request that writes; with a sequence, a command of a session."""
    command = kv.KvCommand(put=kv.PutRequest(key=key, value=value))
    return pb.Request(id=request_id, commands=[command.SerializeToString()], sequence=sequence)


def append(key: str, value: bytes, *, request_id: int = 1, sequence: int = 0) -> pb.Request:
    """A request that shows how often it was applied."""
    command = kv.KvCommand(append=kv.AppendRequest(key=key, value=value))
    return pb.Request(id=request_id, commands=[command.SerializeToString()], sequence=sequence)


def get(key: str, *, request_id: int = 1, any_node: bool = False) -> pb.Request:
    """A request that reads."""
    query = kv.KvQuery(get=kv.GetRequest(key=key)).SerializeToString()
    return pb.Request(id=request_id, queries=[query], any_node=any_node)


class NodeCluster:
    """Nodes by name, the network between them, the time, and a journal of what they do."""

    def __init__(self, directory: Path, voters: Sequence[str] = ("a", "b", "c"), **options: Any) -> None:
        """Nodes that begin a cluster as soon as time passes; `options` are those of `ServerConfig`."""
        self.directory = directory
        self.options = options
        self.peers = {voter: f"127.0.0.1:{7000 + number}" for number, voter in enumerate(voters)}
        self.now = 0.0
        self.network: list[Message] = []
        self.cut: set[str] = set()
        """Nodes whose messages are lost, to and fro."""
        self.journal = Journal()
        self.nodes: dict[str, Node] = {}
        self.storages: dict[str, FileStorage] = {}
        self.wires: dict[str, Wire] = {}
        self.logs: dict[str, io.StringIO] = {}
        for voter in voters:
            self.start(voter)

    def start(
        self, node_id: str, *, filesystem: Filesystem | None = None, peers: Mapping[str, str] | None = None
    ) -> Node:
        """Start a node on its directory; `peers` are those that the cluster began with, unless it is to join."""
        storage = FileStorage(self.directory / node_id, node_id, filesystem=filesystem)
        config = ServerConfig(node_id, "127.0.0.1:0", peers or self.peers, self.directory / node_id, **self.options)
        log = self.logs.setdefault(node_id, io.StringIO())
        wire = self.wires[node_id] = Wire(self.network)

        parts = JournaledNode(node_id, storage, wire, self.journal)
        node = Node(
            config,
            parts.storage,
            parts.store,
            parts.transport,
            EventLog(node_id, log),
            random=Random(node_id),
            clock=lambda: self.now,
            wall_clock=lambda: 1_000_000 + self.now,
        )
        parts.raft = node.raft
        self.nodes[node_id], self.storages[node_id] = node, storage
        return node

    def join(self, node_id: str) -> Node:
        """Start one more node, which knows of one member and waits until the cluster adds it."""
        known = next(iter(self.peers))
        self.peers[node_id] = f"127.0.0.1:{7000 + len(self.peers)}"
        return self.start(node_id, peers={name: self.peers[name] for name in (node_id, known)})

    def stop(self, node_id: str) -> None:
        """End a node between two turns."""
        del self.nodes[node_id]
        self.storages.pop(node_id).close()

    def close(self) -> None:
        """End all."""
        for node_id in list(self.nodes):
            self.stop(node_id)

    def events(self, node_id: str) -> list[dict[str, Any]]:
        """What a node has logged."""
        return [json.loads(line) for line in self.logs[node_id].getvalue().splitlines()]

    def deliver_all(self) -> None:
        """Deliver messages, and turn who got some, until none is under way."""
        for _ in range(1000):
            if not self.network:
                return
            self.deliver_round()
        raise AssertionError("the nodes do not stop to talk")

    def deliver_round(self) -> None:
        """Deliver the messages that are under way now, and turn who got some."""
        messages, self.network[:] = list(self.network), []
        reached = [message for message in messages if not {message.sender, message.recipient} & self.cut]
        for node_id in sorted({message.recipient for message in reached} & self.nodes.keys()):
            for sender in sorted({message.sender for message in reached}):
                batch = [m for m in reached if (m.sender, m.recipient) == (sender, node_id)]
                self.nodes[node_id].deliver(batch, self.peers.get(sender, ""))
            self.nodes[node_id].run_iteration()

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while True:
            self.deliver_all()
            node = min(self.nodes.values(), key=lambda node: node.next_timeout())
            if node.next_timeout() > end:
                self.now = end
                return
            self.now = max(self.now, node.next_timeout())
            node.run_iteration()

    @property
    def leader(self) -> Node:
        """The leader of the newest term."""
        leaders = [node for node in self.nodes.values() if node.is_leader]
        assert leaders, "there is no leader"
        return max(leaders, key=lambda node: node.raft.current_term)

    @property
    def followers(self) -> list[Node]:
        """Those that do not lead."""
        return [node for node in self.nodes.values() if not node.is_leader]

    def submit(self, node: Node, *requests: pb.Request, session_id: int = 0, acknowledged: int = 0) -> Waiter:
        """Give requests to a node and let it take a turn."""
        waiter = Waiter()
        node.submit(waiter, requests, session_id=session_id, acknowledged=acknowledged)
        node.run_iteration()
        return waiter
