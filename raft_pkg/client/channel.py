"""A gRPC channel to one node, with the handshake that precedes every operation."""

import grpc

from raft_pkg.errors import RaftError
from raft_pkg.rpc import options
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.dial import dial_with_handshake

CONNECT_TIMEOUT_SECONDS = 1.0

CHANNEL_OPTIONS = [
    *options.CHANNEL_OPTIONS,
    ("grpc.enable_retries", 0),  # gRPC must not repeat a write: only a command with a sequence number may be repeated
    ("grpc.keepalive_permit_without_calls", 1),
]


class UnreachableError(RaftError):
    """The connection to a node failed; no operation was sent to it."""


async def open_channel(address: str) -> grpc.aio.Channel:
    """Connect to HOST:PORT. Raise `UnreachableError` with the reason on failure.

    The handshake asks for the node's status. Without it, a request written to a paused server, or to a server that is
    no Raft node, could not be distinguished from a request that a node received and did not answer.
    """
    try:
        channel, _, _ = await dial_with_handshake(address, CONNECT_TIMEOUT_SECONDS, fetch_status, CHANNEL_OPTIONS)
    except ConnectionError as error:
        raise UnreachableError(str(error)) from None
    return channel


async def fetch_status(channel: grpc.aio.Channel) -> pb.StatusResponse:
    """Return the status of the node. Raise `grpc.aio.AioRpcError` on failure."""
    status = channel.unary_unary(
        "/raft.v2.Node/Status",
        request_serializer=pb.StatusRequest.SerializeToString,
        response_deserializer=pb.StatusResponse.FromString,
    )
    response = await status(pb.StatusRequest())
    assert isinstance(response, pb.StatusResponse)
    return response
