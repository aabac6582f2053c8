"""Dialling: names are resolved at each attempt, and failures are reported within the timeout."""

import asyncio
import contextlib
import socket

import pytest

from raft_pkg.rpc.dial import dial, is_refused
from tests.support.servers import Servers, free_ports


async def test_dial_returns_a_connected_channel_and_its_ip_address(tmp_path):
    async with Servers(tmp_path, ["a"]) as servers:
        host, port = servers.all["a"].address.split(":")
        channel, target = await dial(f"localhost:{port}", 2.0)
        assert target in (f"{host}:{port}", f"[::1]:{port}")
        await channel.close()


async def test_a_closed_port_is_a_connection_error():
    (port,) = free_ports(1)
    with pytest.raises(ConnectionError, match=str(port) + "|refused"):
        await dial(f"127.0.0.1:{port}", 1.0)


async def test_a_peer_that_accepts_and_stays_silent_times_out():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(ConnectionError, match=r"no response within 0\.3 s"):
            await dial(f"127.0.0.1:{silent.getsockname()[1]}", 0.3)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "label-" + "x" * 64 + ".invalid", ".."])
async def test_an_unresolvable_name_is_a_connection_error(host):
    """Regression: a name with too long a label raised another error, which ended all links of the node."""
    with pytest.raises(ConnectionError):
        await dial(f"{host}:6000", 5.0)


@pytest.mark.parametrize("address", ["", "nonsense", "host:", ":6000", "host:70000", "::1:6000", "\0:6000"])
async def test_an_invalid_address_is_a_connection_error(address):
    """Regression: a Discovery with such an address ended all links of the node."""
    with pytest.raises(ConnectionError):
        await dial(address, 5.0)


async def test_a_closed_port_is_refused():
    (port,) = free_ports(1)
    assert await is_refused(f"127.0.0.1:{port}", 5)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port)
    async with server:
        assert not await is_refused(f"127.0.0.1:{port}", 5)


async def test_an_unresponsive_address_is_not_refused():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        with contextlib.ExitStack() as waiting:
            for _ in range(3):  # more than it has room for: from then on nothing is answered
                client = waiting.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(address)
            assert not await is_refused(f"127.0.0.1:{address[1]}", 0.05)
