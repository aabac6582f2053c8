"""A gRPC channel to one node, and what can be asked before any operation is sent there."""

import grpc

from raft_pkg.errors import RaftError
from raft_pkg.rpc import options
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.dial import dial_with_handshake

CONNECT_TIMEOUT_SECONDS = 1.0

CHANNEL_OPTIONS = [
    *options.CHANNEL_OPTIONS,
    ("grpc.enable_retries", 0),  # a write must not be sent again behind our back
    ("grpc.keepalive_permit_without_calls", 1),
]


class UnreachableError(RaftError):
    """A node could not be connected to; the operation was not sent there."""


async def open_channel(address: str) -> grpc.aio.Channel:
    """Connect to HOST:PORT; raises `UnreachableError` with the reason.

    The handshake asks for the node's status. Without it, a request written to a paused server, or to a server that is
    no Raft node, could not be told from a request that a node received and did not answer.
    """
    try:
        channel, _, _ = await dial_with_handshake(address, CONNECT_TIMEOUT_SECONDS, ask_status, CHANNEL_OPTIONS)
    except ConnectionError as error:
        raise UnreachableError(str(error)) from None
    return channel


async def ask_status(channel: grpc.aio.Channel) -> pb.StatusResponse:
    """What the node at the other end says of itself; raises AioRpcError."""
    status = channel.unary_unary(
        "/raft.v2.Node/Status",
        request_serializer=pb.StatusRequest.SerializeToString,
        response_deserializer=pb.StatusResponse.FromString,
    )
    answer = await status(pb.StatusRequest())
    assert isinstance(answer, pb.StatusResponse)
    return answer
