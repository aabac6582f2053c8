"""Asking a cluster's leader to hand over (dissertation §3.10)."""

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from raft_pkg.client.leader import STATUS_SECONDS_MAX, ask_leader_of
from raft_pkg.client.status import cluster_status
from raft_pkg.rpc import raft_pb2 as pb

if TYPE_CHECKING:
    from raft_pkg.rpc.raft_pb2_grpc import NodeAsyncStub


async def transfer_leadership(endpoints: Sequence[str], target: str, timeout: float) -> int:
    """Let `target` lead, unless it does already; returns the term that it leads.

    Raises what `leader.ask_leader` raises.
    """
    status = await cluster_status(endpoints, min(timeout, STATUS_SECONDS_MAX))
    if status.leader_id == target and status.term is not None:
        return status.term

    def transfer(leader: "NodeAsyncStub") -> Awaitable[pb.TransferLeadershipResponse]:
        return leader.TransferLeadership(pb.TransferLeadershipRequest(target=target))

    return (await ask_leader_of(status, timeout, f"transfer to {target}", transfer)).term
