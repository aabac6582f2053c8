"""Connect to a node's address. The name is resolved at every attempt, because Pod addresses change.

gRPC's own resolver waits up to 30 s between two look-ups of a name, so it would miss a restarted Pod for that long.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import grpc.aio

from raft_pkg.addresses import parse_address, resolve
from raft_pkg.errors import ConfigurationError
from raft_pkg.rpc.options import CHANNEL_OPTIONS

Reply = TypeVar("Reply")


async def dial(address: str, timeout: float) -> tuple[grpc.aio.Channel, str]:
    """Connect to HOST:PORT; return the connected channel and its IP:PORT.

    `timeout`, in seconds, limits the name look-up and each connection attempt. Raise `ConnectionError` with the
    address and the reason.
    """
    try:
        channel, target, _ = await dial_with_handshake(address, timeout, _wait_until_connected)
    except ConnectionError as error:
        raise ConnectionError(f"{address}: {error}") from None
    return channel, target


async def dial_with_handshake(
    address: str,
    timeout: float,
    handshake: Callable[[grpc.aio.Channel], Awaitable[Reply]],
    options: Sequence[tuple[str, int]] = CHANNEL_OPTIONS,
) -> tuple[grpc.aio.Channel, str, Reply]:
    """Try every IP address of HOST:PORT in turn until a handshake succeeds; return channel, IP:PORT and its reply.

    `timeout`, in seconds, limits the name look-up and each handshake. Raise `ConnectionError` with the reason of the
    last failure; an invalid address counts as one, since addresses may come from other nodes.
    """
    failure = "the name resolves to no address"
    for target in await _resolve(address, timeout):
        channel = grpc.aio.insecure_channel(target, options=list(options))
        try:
            async with asyncio.timeout(timeout):
                reply = await handshake(channel)
        except TimeoutError:
            failure = f"no response within {timeout:g} s"
        except grpc.aio.AioRpcError as error:
            failure = describe_status(error)
        except ConnectionError as error:
            failure = str(error)
        except BaseException:
            await channel.close()
            raise
        else:
            return channel, target.partition(":")[2], reply
        await channel.close()
    raise ConnectionError(failure)


def describe_status(error: grpc.aio.AioRpcError) -> str:
    """Return what gRPC says about a failed call, without its framing."""
    details = error.details() or error.code().name
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return f"the server does not implement this call ({details})"
    return details.rpartition("last error: ")[2].rpartition("Failed to connect to remote host: ")[2]


async def is_refused(target: str, timeout: float) -> bool:
    """Return whether IP:PORT refuses connections: the machine is up and no process listens on the port.

    Return False on any other failure, and when nothing happens within `timeout` seconds.
    """
    host, port = parse_address(target, "target")
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return True
    except (OSError, TimeoutError):
        return False
    writer.close()
    return False


async def _resolve(address: str, timeout: float) -> list[str]:
    try:
        async with asyncio.timeout(timeout):
            return await resolve(address)
    except TimeoutError:
        raise ConnectionError(f"name look-up took longer than {timeout:g} s") from None
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that IDNA can't encode
        raise ConnectionError(f"name look-up failed ({error})") from None
    except ConfigurationError as error:
        raise ConnectionError(str(error)) from None


async def _wait_until_connected(channel: grpc.aio.Channel) -> None:
    """Wait for the outcome of the first attempt; gRPC would wait a second or more before its next."""
    state = channel.get_state(try_to_connect=True)
    while state is not grpc.ChannelConnectivity.READY:
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            raise ConnectionError("connection refused")
        await channel.wait_for_state_change(state)
        state = channel.get_state()
