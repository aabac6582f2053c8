"""Calls that only the leader can execute, or knows best: leadership transfer and membership changes."""

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
"""How long the search for the leader waits for a node that does not respond."""

Response = TypeVar("Response")


class RefusedError(RaftError):
    """The leader refused the call, and nothing was changed; the message has its reason."""


async def call_leader(
    endpoints: Sequence[str], timeout: float, what: str, call: "Callable[[NodeAsyncStub], Awaitable[Response]]"
) -> Response:
    """Find the leader and call it; `what` names the call in error messages.

    Raise `RefusedError` with the leader's reason if it refused, `OperationFailedError` if no leader can be reached, and
    `OutcomeUnknownError` if the leader did not respond within `timeout` seconds, or lost its leadership meanwhile.
    """
    status = await cluster_status(endpoints, min(timeout, STATUS_SECONDS_MAX))
    return await call_leader_of(status, timeout, what, call)


async def call_leader_of(
    status: ClusterStatus, timeout: float, what: str, call: "Callable[[NodeAsyncStub], Awaitable[Response]]"
) -> Response:
    """Call the leader of a status that was fetched just now; otherwise like `call_leader`."""
    if status.leader_address is None:
        raise OperationFailedError(f"{what}: no leader that a majority of the endpoints agree on")
    endpoint_of = {node.response.id: node.endpoint for node in status.nodes if node.reachable}
    address = endpoint_of.get(status.leader_id or "", status.leader_address)
    try:
        channel = await open_channel(address)
    except UnreachableError as error:
        raise OperationFailedError(f"{what}: the leader at {address} is unreachable: {error}") from None
    async with channel:
        try:
            async with asyncio.timeout(timeout):
                return await call(NodeStub(channel))
        except TimeoutError:
            raise OutcomeUnknownError(f"{what}: no response from {address} within {timeout:g} s") from None
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT):
                raise RefusedError(f"{what}: {describe_status(error)}") from None
            raise OutcomeUnknownError(f"{what}: {describe_status(error)}") from None
