"""How nodes and clients reach an address: looked up afresh at every connection, because Pod addresses change.

gRPC's own resolver waits up to 30 s between two look-ups of a name; a Pod that came back would be missed that long.
"""

import asyncio

import grpc.aio

from raft_pkg.addresses import parse_address, resolve
from raft_pkg.errors import ConfigurationError
from raft_pkg.rpc.options import CHANNEL_OPTIONS


async def dial(address: str, timeout: float) -> tuple[grpc.aio.Channel, str]:
    """Connect to HOST:PORT within `timeout` seconds; returns the connected channel and the IP:PORT it goes to.

    Raises `ConnectionError`, saying why, when there is no connection by then, or can be none: another node may have
    said what the address is.
    """
    try:
        async with asyncio.timeout(timeout):
            return await _connect(address)
    except TimeoutError:
        raise ConnectionError(f"{address}: no connection within {timeout:g} s") from None
    except (OSError, UnicodeError, ConfigurationError) as error:  # UnicodeError: a label that IDNA can't hold
        raise ConnectionError(f"{address}: {error}") from None


async def is_refused(target: str, timeout: float) -> bool:
    """Whether IP:PORT refuses connections: there is a machine, and no process that listens.

    False when anything else comes of it within `timeout` seconds, or nothing.
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


async def _connect(address: str) -> tuple[grpc.aio.Channel, str]:
    """Dial what the address stands for now, one after the other, until one answers."""
    refused = ConnectionError("its name stands for no address")
    for target in await resolve(address):
        channel = grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
        try:
            await _wait_until_connected(channel)
        except ConnectionError as error:
            refused = error
            await channel.close()
        except BaseException:
            await channel.close()
            raise
        else:
            return channel, target.partition(":")[2]
    raise refused


async def _wait_until_connected(channel: grpc.aio.Channel) -> None:
    """Until the first attempt has succeeded or failed; gRPC would wait a second and more before its next."""
    state = channel.get_state(try_to_connect=True)
    while state is not grpc.ChannelConnectivity.READY:
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            raise ConnectionError("connection refused")
        await channel.wait_for_state_change(state)
        state = channel.get_state()
