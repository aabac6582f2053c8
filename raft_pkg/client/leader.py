"""Asking a cluster's leader for what only it can do, or know best: transfers and changes of members."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import grpc

from raft_pkg.client.channel import UnreachableError, open_channel
from raft_pkg.client.status import ClusterStatus, cluster_status
from raft_pkg.errors import OperationFailedError, OutcomeUnknownError, RaftError
from raft_pkg.rpc.dial import describe_status
from raft_pkg.rpc.raft_pb2_grpc import NodeStub

if TYPE_CHECKING:
    from raft_pkg.rpc.raft_pb2_grpc import NodeAsyncStub

STATUS_SECONDS_MAX = 2.0
"""How long the search for the leader waits for a node that does not answer."""

Answer = TypeVar("Answer")


class RefusedError(RaftError):
    """The leader does not do it, and nothing was changed; the message says why."""


async def ask_leader(
    endpoints: Sequence[str], timeout: float, what: str, call: "Callable[[NodeAsyncStub], Awaitable[Answer]]"
) -> Answer:
    """Find the leader and call it; `what` names the call in errors.

    Raises `RefusedError` with the leader's reason, `OperationFailedError` when there is no leader to ask, and
    `OutcomeUnknownError` when it did not answer within `timeout` seconds, or lost its leadership meanwhile.
    """
    status = await cluster_status(endpoints, min(timeout, STATUS_SECONDS_MAX))
    return await ask_leader_of(status, timeout, what, call)


async def ask_leader_of(
    status: ClusterStatus, timeout: float, what: str, call: "Callable[[NodeAsyncStub], Awaitable[Answer]]"
) -> Answer:
    """The same, for who has just asked who leads."""
    if status.leader_address is None:
        raise OperationFailedError(f"{what}: no leader that a majority of the endpoints agree on")
    known = {node.answer.id: node.endpoint for node in status.nodes if node.reachable}
    address = known.get(status.leader_id or "", status.leader_address)
    try:
        channel = await open_channel(address)
    except UnreachableError as error:
        raise OperationFailedError(f"{what}: the leader at {address} can't be reached: {error}") from None
    async with channel:
        try:
            async with asyncio.timeout(timeout):
                return await call(NodeStub(channel))
        except TimeoutError:
            raise OutcomeUnknownError(f"{what}: no answer from {address} within {timeout:g} s") from None
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT):
                raise RefusedError(f"{what}: {describe_status(error)}") from None
            raise OutcomeUnknownError(f"{what}: {describe_status(error)}") from None
