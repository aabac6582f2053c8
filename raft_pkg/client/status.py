"""What the nodes of a cluster say of themselves, and whether they agree on a leader."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raft_pkg.client.channel import CHANNEL_OPTIONS, ask_status
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.dial import dial_with_handshake


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One endpoint's answer, or why there is none."""

    endpoint: str
    error: str | None  # None: it answered
    answer: pb.StatusResponse  # empty when it did not

    @property
    def reachable(self) -> bool:
        return self.error is None

    def to_json(self) -> dict[str, Any]:
        if self.error is not None:
            return {"endpoint": self.endpoint, "reachable": False, "error": self.error}
        answer = self.answer
        return {
            "endpoint": self.endpoint,
            "reachable": True,
            "id": answer.id,
            "role": answer.role,
            "term": answer.term,
            "leader_id": answer.leader_id or None,
            "leader_address": answer.leader_address or None,
            "commit_index": answer.commit_index,
            "applied_index": answer.applied_index,
            "last_log_index": answer.last_log_index,
            "voters": list(answer.voters),
            "version": answer.version,
            "uptime_seconds": round(answer.uptime_seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """The answers of all endpoints, in the order in which the endpoints were given."""

    nodes: tuple[NodeStatus, ...]

    @property
    def term(self) -> int | None:
        """The newest term that any node is in; None when no node answered."""
        return max((node.answer.term for node in self.nodes if node.reachable), default=None)

    @property
    def leader_id(self) -> str | None:
        """The leader of the newest term, if a majority of the endpoints agree on it; otherwise None.

        It has to answer itself, unless every endpoint answered and it isn't one of them: for some time after a
        leader has died, all the others still believe in it.
        """
        answers = [node.answer for node in self.nodes if node.reachable and node.answer.term == self.term]
        believed = Counter(answer.leader_id for answer in answers if answer.leader_id)
        if not believed:
            return None
        leader_id, believers = believed.most_common(1)[0]
        leads = any(answer.id == leader_id and answer.role == "leader" for answer in answers)
        elsewhere = all(node.reachable and node.answer.id != leader_id for node in self.nodes)
        return leader_id if believers * 2 > len(self.nodes) and (leads or elsewhere) else None

    @property
    def leader_address(self) -> str | None:
        """The leader's address as the nodes know it, when they agree on one."""
        leader_id = self.leader_id
        addresses = (n.answer.leader_address for n in self.nodes if leader_id and n.answer.leader_id == leader_id)
        return next((address for address in addresses if address), None)

    def to_json(self) -> dict[str, Any]:
        return {"leader": self.leader_id, "term": self.term, "nodes": [node.to_json() for node in self.nodes]}


async def cluster_status(endpoints: Sequence[str], timeout: float) -> ClusterStatus:
    """Ask all endpoints at the same time; one that does not answer within `timeout` seconds is not reachable."""
    return ClusterStatus(tuple(await asyncio.gather(*(_node_status(endpoint, timeout) for endpoint in endpoints))))


async def _node_status(endpoint: str, timeout: float) -> NodeStatus:
    try:
        async with asyncio.timeout(timeout):
            channel, _, answer = await dial_with_handshake(endpoint, timeout, ask_status, CHANNEL_OPTIONS)
            await channel.close()
    except TimeoutError:
        return NodeStatus(endpoint, f"no answer within {timeout:g} s", pb.StatusResponse())
    except ConnectionError as error:
        return NodeStatus(endpoint, str(error), pb.StatusResponse())
    return NodeStatus(endpoint, None, answer)
