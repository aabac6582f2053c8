"""Asking a cluster's leader to hand over (dissertation §3.10)."""

import asyncio
from collections.abc import Sequence

import grpc

from raft_pkg.client.channel import UnreachableError, describe_status, open_channel
from raft_pkg.client.status import cluster_status
from raft_pkg.errors import OperationFailedError, OutcomeUnknownError, RaftError
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.raft_pb2_grpc import NodeStub


class TransferRefusedError(RaftError):
    """The leader keeps its leadership; the message says why."""


async def transfer_leadership(endpoints: Sequence[str], target: str, timeout: float) -> int:
    """Let `target` lead, unless it does already; returns the term that it leads.

    Raises `TransferRefusedError` with the reason, `OperationFailedError` when there is no leader to ask, and
    `OutcomeUnknownError` when the leader did not answer within `timeout` seconds.
    """
    status = await cluster_status(endpoints, timeout)
    if status.leader_address is None:
        raise OperationFailedError(f"transfer to {target}: no leader that a majority of the endpoints agree on")
    if status.leader_id == target and status.term is not None:
        return status.term
    known = {node.answer.id: node.endpoint for node in status.nodes if node.reachable}
    address = known.get(status.leader_id or "", status.leader_address)
    try:
        channel = await open_channel(address)
    except UnreachableError as error:
        raise OperationFailedError(f"transfer to {target}: the leader at {address} can't be reached: {error}") from None
    async with channel:
        try:
            async with asyncio.timeout(timeout):
                answer = await NodeStub(channel).TransferLeadership(pb.TransferLeadershipRequest(target=target))
        except TimeoutError:
            raise OutcomeUnknownError(f"transfer to {target}: no answer from {address} within {timeout:g} s") from None
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                raise TransferRefusedError(f"transfer to {target}: {describe_status(error)}") from None
            raise OutcomeUnknownError(f"transfer to {target}: {describe_status(error)}") from None
    return answer.term
