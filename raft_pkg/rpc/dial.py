"""How nodes and clients reach an address: looked up afresh at every connection, because Pod addresses change.

gRPC's own resolver waits up to 30 s between two look-ups of a name; a Pod that came back would be missed that long.
"""

import asyncio
import socket

import grpc.aio

from raft_pkg.rpc.options import CHANNEL_OPTIONS


async def dial(host: str, port: int, timeout: float) -> tuple[grpc.aio.Channel, str]:
    """Connect within `timeout` seconds; returns the connected channel and the IP:PORT it goes to.

    Raises `ConnectionError`, saying why, when there is no connection by then.
    """
    try:
        async with asyncio.timeout(timeout):
            target = await _look_up(host, port)
    except TimeoutError:
        raise ConnectionError(f"{host}: no answer from the name service within {timeout:g} s") from None
    except OSError as error:
        raise ConnectionError(f"{host}: {error.strerror or error}") from None
    except UnicodeError as error:  # a label of the name that the name service's encoding can't hold
        raise ConnectionError(f"{host}: {error}") from None
    channel = grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
    try:
        async with asyncio.timeout(timeout):
            await _wait_until_connected(channel)
    except TimeoutError:
        await channel.close()
        raise ConnectionError(f"{host}:{port} ({target}): no connection within {timeout:g} s") from None
    except BaseException:
        await channel.close()
        raise
    return channel, target


async def _wait_until_connected(channel: grpc.aio.Channel) -> None:
    """Until the first attempt has succeeded or failed; gRPC would wait a second and more before its next."""
    state = channel.get_state(try_to_connect=True)
    while state is not grpc.ChannelConnectivity.READY:
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            raise ConnectionError("refused")
        await channel.wait_for_state_change(state)
        state = channel.get_state()


async def _look_up(host: str, port: int) -> str:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, _, _, _, address = found[0]
    return f"ipv6:[{address[0]}]:{port}" if family == socket.AF_INET6 else f"ipv4:{address[0]}:{port}"
