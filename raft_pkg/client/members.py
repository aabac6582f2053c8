"""The members of a cluster, and membership changes (paper §6, dissertation §4)."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raft_pkg.client.leader import call_leader
from raft_pkg.rpc import raft_pb2 as pb

if TYPE_CHECKING:
    from raft_pkg.rpc.raft_pb2_grpc import NodeAsyncStub


@dataclass(frozen=True, slots=True)
class Members:
    """The members as the leader knows them."""

    response: pb.MembersResponse

    def get(self, node_id: str) -> pb.MemberStatus | None:
        """Return a member, or None for a non-member."""
        return next((member for member in self.response.members if member.id == node_id), None)

    def missing(self, member: pb.MemberStatus) -> int:
        """Return how many entries of the leader's log are not yet on the member's disk."""
        return max(0, self.response.last_log_index - member.match_index)

    def to_json(self) -> dict[str, Any]:
        """Return the object that `raftctl members --json` prints (docs/reference/cli.md)."""
        response = self.response
        return {
            "leader": response.leader_id or None,
            "joint": response.joint,
            "committed": response.committed,
            "configuration_index": response.configuration_index,
            "members": [self._member_to_json(member) for member in response.members],
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
            "last_contact_seconds": round(member.last_contact_seconds, 3),
            "snapshot_bytes_sent": member.snapshot_bytes_sent,
            "snapshot_bytes": member.snapshot_bytes,
        }


async def list_members(endpoints: Sequence[str], timeout: float) -> Members:
    """Return the members as the leader knows them. Raise the errors of `leader.call_leader`."""

    def call(leader: "NodeAsyncStub") -> Awaitable[pb.MembersResponse]:
        return leader.Members(pb.MembersRequest())

    return Members(await call_leader(endpoints, timeout, "members", call))


async def add_learner(endpoints: Sequence[str], node_id: str, address: str, timeout: float, *, promote: bool) -> int:
    """Add the node that runs at HOST:PORT as a learner; with `promote`, make it a voter once it has caught up.

    Return the log index of the new configuration, which is committed. Raise the errors of `leader.call_leader`.
    """
    change = pb.ChangeMembersRequest(add_learner=pb.AddLearner(id=node_id, address=address, promote=promote))
    return await _change(endpoints, change, timeout, f"add {node_id}")


async def promote(endpoints: Sequence[str], node_id: str, timeout: float) -> int:
    """Make a learner that has caught up a voter. Return and raise like `add_learner`."""
    return await _change(endpoints, pb.ChangeMembersRequest(promote=node_id), timeout, f"promote {node_id}")


async def remove(endpoints: Sequence[str], node_id: str, timeout: float) -> int:
    """Remove a member, which may be the leader. Return and raise like `add_learner`."""
    return await _change(endpoints, pb.ChangeMembersRequest(remove=node_id), timeout, f"remove {node_id}")


async def _change(endpoints: Sequence[str], change: pb.ChangeMembersRequest, timeout: float, what: str) -> int:
    def call(leader: "NodeAsyncStub") -> Awaitable[pb.ChangeMembersResponse]:
        return leader.ChangeMembers(change)

    return (await call_leader(endpoints, timeout, what, call)).configuration_index
