"""Real nodes with real files in virtual time: the test runs each iteration, and messages stay in memory."""

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
    """Collects outcomes; `flushed` holds those that were sent to the client."""

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
        """The code of each outcome, in order."""
        return [pb.OutcomeCode.Name(outcome.code).removeprefix("OUTCOME_CODE_") for outcome in self.flushed]


class Wire:
    """A transport that puts messages to nodes with known addresses into the cluster's network."""

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
    """Return a put request; with a sequence number, it belongs to a session."""
    command = kv.KvCommand(put=kv.PutRequest(key=key, value=value))
    return pb.Request(id=request_id, commands=[command.SerializeToString()], sequence=sequence)


def append(key: str, value: bytes, *, request_id: int = 1, sequence: int = 0) -> pb.Request:
    """Return an append request, which shows how often it was applied."""
    command = kv.KvCommand(append=kv.AppendRequest(key=key, value=value))
    return pb.Request(id=request_id, commands=[command.SerializeToString()], sequence=sequence)


def get(key: str, *, request_id: int = 1, any_node: bool = False) -> pb.Request:
    """Return a get request."""
    query = kv.KvQuery(get=kv.GetRequest(key=key)).SerializeToString()
    return pb.Request(id=request_id, queries=[query], any_node=any_node)


class NodeCluster:
    """Nodes by name, the network between them, the time, and a journal of what they do."""

    def __init__(self, directory: Path, voters: Sequence[str] = ("a", "b", "c"), **options: Any) -> None:
        """Start nodes, which bootstrap a cluster as soon as time advances; `options` are those of `ServerConfig`."""
        self.directory = directory
        self.options = options
        self.peers = {voter: f"127.0.0.1:{7000 + number}" for number, voter in enumerate(voters)}
        self.now = 0.0
        self.network: list[Message] = []
        self.cut: set[str] = set()
        """Nodes whose messages are dropped in both directions."""
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
        """Start a node on its directory; `peers` are its bootstrap peers, by default all voters."""
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
        """Start one more node, which knows one member and waits to be added."""
        known = next(iter(self.peers))
        self.peers[node_id] = f"127.0.0.1:{7000 + len(self.peers)}"
        return self.start(node_id, peers={name: self.peers[name] for name in (node_id, known)})

    def stop(self, node_id: str) -> None:
        """Stop a node between two iterations."""
        del self.nodes[node_id]
        self.storages.pop(node_id).close()

    def close(self) -> None:
        """Stop all nodes."""
        for node_id in list(self.nodes):
            self.stop(node_id)

    def events(self, node_id: str) -> list[dict[str, Any]]:
        """Return the log lines of a node."""
        return [json.loads(line) for line in self.logs[node_id].getvalue().splitlines()]

    def deliver_all(self) -> None:
        """Deliver messages and run iterations of their recipients until no messages are left."""
        for _ in range(1000):
            if not self.network:
                return
            self.deliver_round()
        raise AssertionError("the nodes do not stop sending messages")

    def deliver_round(self) -> None:
        """Deliver the present messages and run one iteration of each recipient."""
        messages, self.network[:] = list(self.network), []
        reached = [message for message in messages if not {message.sender, message.recipient} & self.cut]
        for node_id in sorted({message.recipient for message in reached} & self.nodes.keys()):
            for sender in sorted({message.sender for message in reached}):
                batch = [m for m in reached if (m.sender, m.recipient) == (sender, node_id)]
                self.nodes[node_id].deliver(batch, self.peers.get(sender, ""))
            self.nodes[node_id].run_iteration()

    def run(self, seconds: float) -> None:
        """Advance the time."""
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
        """All other nodes."""
        return [node for node in self.nodes.values() if not node.is_leader]

    def submit(self, node: Node, *requests: pb.Request, session_id: int = 0, acknowledged: int = 0) -> Waiter:
        """Submit requests to a node and run one iteration."""
        waiter = Waiter()
        node.submit(waiter, requests, session_id=session_id, acknowledged=acknowledged)
        node.run_iteration()
        return waiter
