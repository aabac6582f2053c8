"""A transfer whose leader is removed from the cluster meanwhile."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import pytest

from raft_pkg.core.errors import TransferRefusedError
from raft_pkg.core.membership import Remove
from raft_pkg.core.messages import Message
from raft_pkg.events import EventLog
from raft_pkg.kv import KeyValueStore
from raft_pkg.server.config import ServerConfig
from raft_pkg.server.node import Node
from raft_pkg.storage import MemoryStorage

PEERS = {"a": "127.0.0.1:7000", "b": "127.0.0.1:7001"}


class Pair:
    """Two nodes with immediate message delivery, in virtual time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.messages: list[Message] = []
        self.nodes = {node_id: self._start(node_id) for node_id in PEERS}

    def _start(self, node_id: str) -> Node:
        config = ServerConfig(node_id, PEERS[node_id], PEERS, Path("/unused"))
        log = EventLog(node_id, io.StringIO())
        clock = {"clock": lambda: self.now, "wall_clock": lambda: self.now}
        return Node(config, MemoryStorage(), KeyValueStore(), self, log, random=Random(node_id), **clock)

    def update_peers(self, addresses: Mapping[str, str]) -> None:
        pass

    def add_remote(self, node_id: str, address: str) -> None:
        pass

    def send(self, messages: Sequence[Message]) -> None:
        self.messages += messages

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.01)):
            self.now += 0.01
            messages, self.messages[:] = list(self.messages), []
            for node_id, node in self.nodes.items():
                node.deliver([message for message in messages if message.recipient == node_id])
                node.run_iteration()


async def test_a_transfer_fails_when_its_leader_is_removed():
    """Found by the simulator: a removed leader does not learn who leads, so the request never completed."""
    pair = Pair()
    pair.run(2.0)
    leader, follower = sorted(pair.nodes.values(), key=lambda node: node.is_leader, reverse=True)
    assert leader.is_leader
    removed = leader.change_members(Remove(leader.config.node_id))
    leader.run_iteration()
    transferred = leader.transfer_leadership(follower.config.node_id)
    pair.run(2.0)
    assert follower.is_leader
    assert removed.result()
    with pytest.raises(TransferRefusedError, match="is no longer a voter"):
        transferred.result()
