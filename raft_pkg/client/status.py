"""The status of each node of a cluster, and the leader on which a majority agrees."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raft_pkg.client.channel import CHANNEL_OPTIONS, fetch_status
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.dial import dial_with_handshake


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """The status of the node at one endpoint, or the reason why there is none."""

    endpoint: str
    error: str | None
    """None: the node responded."""
    response: pb.StatusResponse
    """Empty when the node did not respond."""

    @property
    def reachable(self) -> bool:
        return self.error is None

    def to_json(self) -> dict[str, Any]:
        """Return one element of `nodes` in the object that `raftctl status --json` prints."""
        if self.error is not None:
            return {"endpoint": self.endpoint, "reachable": False, "error": self.error}
        return {"endpoint": self.endpoint, "reachable": True, **_fields_of(self.response)}


def _fields_of(response: pb.StatusResponse) -> dict[str, Any]:
    """Return every field of the message by its name, so that a new field needs no code here. Empty strings are null."""
    fields: dict[str, Any] = {}
    for field in pb.StatusResponse.DESCRIPTOR.fields:
        value = getattr(response, field.name)
        if isinstance(value, float):
            value = round(value, 3)
        elif not isinstance(value, str | int):
            value = list(value)  # a repeated field
        fields[field.name] = None if value == "" else value
    return fields


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """The status of every endpoint, in the order in which the endpoints were given."""

    nodes: tuple[NodeStatus, ...]

    @property
    def term(self) -> int | None:
        """The newest term of any node; None when no node responded."""
        return max((node.response.term for node in self.nodes if node.reachable), default=None)

    @property
    def leader_id(self) -> str | None:
        """The leader of the newest term, if a majority of the endpoints agree on it; otherwise None.

        The leader must have responded itself, unless every endpoint responded and it is not among them: its followers
        name it for some time after it has crashed.
        """
        responses = [node.response for node in self.nodes if node.reachable and node.response.term == self.term]
        counts = Counter(response.leader_id for response in responses if response.leader_id)
        if not counts:
            return None
        leader_id, count = counts.most_common(1)[0]
        leads = any(response.id == leader_id and response.role == "leader" for response in responses)
        not_asked = all(node.reachable and node.response.id != leader_id for node in self.nodes)
        return leader_id if count * 2 > len(self.nodes) and (leads or not_asked) else None

    @property
    def leader_address(self) -> str | None:
        """HOST:PORT of the leader as the nodes know it; None when there is no `leader_id`."""
        leader_id = self.leader_id
        addresses = (n.response.leader_address for n in self.nodes if leader_id and n.response.leader_id == leader_id)
        return next((address for address in addresses if address), None)

    def to_json(self) -> dict[str, Any]:
        """Return the object that `raftctl status --json` prints (docs/reference/cli.md)."""
        return {"leader": self.leader_id, "term": self.term, "nodes": [node.to_json() for node in self.nodes]}


async def cluster_status(endpoints: Sequence[str], timeout: float) -> ClusterStatus:
    """Ask all endpoints concurrently. One that does not respond within `timeout` seconds is unreachable."""
    return ClusterStatus(tuple(await asyncio.gather(*(_node_status(endpoint, timeout) for endpoint in endpoints))))


async def _node_status(endpoint: str, timeout: float) -> NodeStatus:
    try:
        async with asyncio.timeout(timeout):
            channel, _, response = await dial_with_handshake(endpoint, timeout, fetch_status, CHANNEL_OPTIONS)
            await channel.close()
    except TimeoutError:
        return NodeStatus(endpoint, f"no response within {timeout:g} s", pb.StatusResponse())
    except ConnectionError as error:
        return NodeStatus(endpoint, str(error), pb.StatusResponse())
    return NodeStatus(endpoint, None, response)
