"""Membership changes and transfers: each request gets its own result, and never that of another request."""

import io
from random import Random

import pytest

from raft_pkg.core.errors import TransferRefusedError
from raft_pkg.core.membership import Remove
from raft_pkg.events import EventLog
from raft_pkg.kv import KeyValueStore
from raft_pkg.server.config import ServerConfig
from raft_pkg.server.node import Node
from raft_pkg.storage import MemoryStorage

PEERS = {"a": "127.0.0.1:7000", "b": "127.0.0.1:7001", "c": "127.0.0.1:7002"}


class Network:
    """A `Transport` that reaches every node; a test delivers the messages."""

    def __init__(self):
        self.messages = []

    def update_peers(self, addresses):
        pass

    def add_remote(self, node_id, address):
        pass

    def send(self, messages):
        self.messages += messages


class Three:
    """Three nodes in virtual time; the first one is the leader."""

    def __init__(self, directory):
        self.now = 0.0
        self.network = Network()
        self.cut = ""
        self.nodes = {peer: self._node(peer, directory / peer) for peer in PEERS}
        self.leader = self.nodes["a"]
        while not self.leader.is_leader or self.leader.applied_index < 2:
            self.now += 0.01
            self.run_iterations(self.leader if self.leader.raft.configuration else None)
            self.deliver()

    def _node(self, node_id, directory):
        config = ServerConfig(node_id, "127.0.0.1:0", PEERS, directory)
        log = EventLog(node_id, io.StringIO())
        clock = lambda: self.now  # noqa: E731
        parts = (config, MemoryStorage(), KeyValueStore(), self.network, log)
        return Node(*parts, random=Random(node_id), clock=clock)

    def run_iterations(self, node=None):
        """Run one iteration of one node, or of all."""
        for each in [node] if node else self.nodes.values():
            each.run_iteration()

    def hand_over(self):
        """Deliver all messages without running an iteration."""
        messages, self.network.messages = self.network.messages, []
        for message in messages:
            if message.recipient in self.nodes and not {message.sender, message.recipient} & set(self.cut):
                self.nodes[message.recipient].deliver([message])

    def deliver(self):
        """Deliver messages and run iterations until no messages are left."""
        while self.network.messages:
            self.hand_over()
            self.run_iterations()


@pytest.fixture
def three(tmp_path):
    return Three(tmp_path)


async def test_a_change_requested_while_another_completes_waits_for_its_own_completion(three):
    leader = three.leader
    first = leader.change_members(Remove("c"))
    leader.run_iteration()
    while leader.raft.configuration.is_joint:
        three.hand_over()
        three.run_iterations()
    completing = leader.raft.configuration_index
    three.hand_over()
    three.run_iterations(three.nodes["b"])
    three.hand_over()  # b has C_new: the leader's next iteration completes the change

    second = leader.change_members(Remove("b"))
    leader.run_iteration()
    assert first.done()
    assert await first == completing
    assert not second.done()
    three.deliver()
    assert await second == leader.raft.configuration_index > completing


async def test_a_transfer_requested_while_another_ends_waits_for_its_own_end(three):
    leader = three.leader
    three.cut = "b"
    first = leader.transfer_leadership("b")
    leader.run_iteration()
    while three.now < leader.raft._transfer.deadline - 0.01:
        three.now += 0.01
        leader.run_iteration()
        three.deliver()

    second = leader.transfer_leadership("c")
    three.now += 0.06
    leader.run_iteration()
    with pytest.raises(TransferRefusedError, match="b did not take over within an election time-out"):
        await first
    three.deliver()
    assert three.nodes["c"].is_leader
    await second


async def test_a_transfer_fails_when_its_leader_is_cut_off_from_all_peers(three):
    leader = three.leader
    three.cut = "bc"
    transfer = leader.transfer_leadership("b")
    leader.run_iteration()
    assert not transfer.done()
    while not transfer.done():
        three.now += 0.01
        leader.run_iteration()
        three.deliver()
        assert three.now < 60
    assert not leader.is_leader
    with pytest.raises(TransferRefusedError):
        await transfer
