"""Who belongs to a cluster, and asking its leader to change that (paper §6, dissertation §4)."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raft_pkg.client.leader import ask_leader
from raft_pkg.rpc import raft_pb2 as pb

if TYPE_CHECKING:
    from raft_pkg.rpc.raft_pb2_grpc import NodeAsyncStub


@dataclass(frozen=True, slots=True)
class Members:
    """The members as the leader knows them."""

    answer: pb.MembersResponse

    def get(self, node_id: str) -> pb.MemberStatus | None:
        """One of them; None: it is not a member."""
        return next((member for member in self.answer.members if member.id == node_id), None)

    def missing(self, member: pb.MemberStatus) -> int:
        """How many entries of the leader's log a member does not have on its disk yet."""
        return max(0, self.answer.last_log_index - member.match_index)

    def to_json(self) -> dict[str, Any]:
        answer = self.answer
        return {
            "leader": answer.leader_id or None,
            "joint": answer.joint,
            "committed": answer.committed,
            "configuration_index": answer.configuration_index,
            "members": [self._member_to_json(member) for member in answer.members],
        }

    def _member_to_json(self, member: pb.MemberStatus) -> dict[str, Any]:
        return {
            "id": member.id,
            "address": member.address,
            "incarnation": str(member.incarnation),
            "role": member.role,
            "promoting": member.promoting,
            "match_index": member.match_index,
            "missing": self.missing(member),
            "heard_seconds": round(member.heard_seconds, 3),
            "snapshot_bytes_sent": member.snapshot_bytes_sent,
            "snapshot_bytes": member.snapshot_bytes,
        }


async def list_members(endpoints: Sequence[str], timeout: float) -> Members:
    """Ask the leader. Raises what `leader.ask_leader` raises."""

    def ask(leader: "NodeAsyncStub") -> Awaitable[pb.MembersResponse]:
        return leader.Members(pb.MembersRequest())

    return Members(await ask_leader(endpoints, timeout, "members", ask))


async def add_learner(endpoints: Sequence[str], node_id: str, address: str, timeout: float, *, promote: bool) -> int:
    """Give the node that runs at HOST:PORT the log; `promote`: make it a voter as soon as it has caught up.

    Returns the index of the configuration that is committed then. Raises what `leader.ask_leader` raises.
    """
    change = pb.ChangeMembersRequest(add_learner=pb.AddLearner(id=node_id, address=address, promote=promote))
    return await _change(endpoints, change, timeout, f"add {node_id}")


async def promote(endpoints: Sequence[str], node_id: str, timeout: float) -> int:
    """Make a learner that has caught up a voter; otherwise as `add_learner`."""
    return await _change(endpoints, pb.ChangeMembersRequest(promote=node_id), timeout, f"promote {node_id}")


async def remove(endpoints: Sequence[str], node_id: str, timeout: float) -> int:
    """Take a member out, the leader itself as well; otherwise as `add_learner`."""
    return await _change(endpoints, pb.ChangeMembersRequest(remove=node_id), timeout, f"remove {node_id}")


async def _change(endpoints: Sequence[str], change: pb.ChangeMembersRequest, timeout: float, what: str) -> int:
    def ask(leader: "NodeAsyncStub") -> Awaitable[pb.ChangeMembersResponse]:
        return leader.ChangeMembers(change)

    return (await ask_leader(endpoints, timeout, what, ask)).configuration_index
