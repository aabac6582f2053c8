"""Leadership transfer (dissertation §3.10)."""

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from raft_pkg.client.leader import STATUS_SECONDS_MAX, call_leader_of
from raft_pkg.client.status import cluster_status
from raft_pkg.rpc import raft_pb2 as pb

if TYPE_CHECKING:
    from raft_pkg.rpc.raft_pb2_grpc import NodeAsyncStub


async def transfer_leadership(endpoints: Sequence[str], target: str, timeout: float) -> int:
    """Transfer leadership to `target`, unless it leads already; return the term in which it leads.

    Raise the errors of `leader.call_leader`.
    """
    status = await cluster_status(endpoints, min(timeout, STATUS_SECONDS_MAX))
    if status.leader_id == target and status.term is not None:
        return status.term

    def call(leader: "NodeAsyncStub") -> Awaitable[pb.TransferLeadershipResponse]:
        return leader.TransferLeadership(pb.TransferLeadershipRequest(target=target))

    return (await call_leader_of(status, timeout, f"transfer to {target}", call)).term
