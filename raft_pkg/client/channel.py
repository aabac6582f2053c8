"""A gRPC channel to one node, and what can be asked before any operation is sent there."""

import asyncio

import grpc

from raft_pkg.addresses import resolve
from raft_pkg.errors import RaftError
from raft_pkg.rpc import options
from raft_pkg.rpc import raft_pb2 as pb

CONNECT_TIMEOUT_SECONDS = 1.0

CHANNEL_OPTIONS = [
    *options.CHANNEL_OPTIONS,
    ("grpc.enable_retries", 0),  # a write must not be sent again behind our back
    ("grpc.keepalive_permit_without_calls", 1),
]


class UnreachableError(RaftError):
    """A node could not be connected to; the operation was not sent there."""


async def open_channel(address: str) -> grpc.aio.Channel:
    """Look the address up and connect; raises UnreachableError that says what went wrong.

    The node is asked for its status first. Were the stream the first thing to be tried, what is written to a
    server that is paused, or no Raft node at all, could not be told from what a node took and did not answer.
    """
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            targets = await resolve(address)
    except TimeoutError:
        raise UnreachableError("its name could not be looked up in time") from None
    except (OSError, UnicodeError) as error:
        raise UnreachableError(f"its name is not known ({error})") from None
    reason = "its name stands for no address"
    for target in targets:
        channel = grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                await ask_status(channel)
        except TimeoutError:
            reason = f"no answer within {CONNECT_TIMEOUT_SECONDS:g} s"
        except grpc.aio.AioRpcError as error:
            reason = describe_status(error)
        else:
            return channel
        await channel.close(None)
    raise UnreachableError(reason)


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


def describe_status(error: grpc.aio.AioRpcError) -> str:
    """What gRPC says about a failed call, without its framing."""
    details = error.details() or error.code().name
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return f"it is not a node of this Raft ({details})"
    return details.rpartition("last error: ")[2].rpartition("Failed to connect to remote host: ")[2]
