"""The proxy as a process."""

import asyncio
import contextlib
import signal
from random import Random

import grpc.aio

from raft_pkg.errors import ConfigurationError
from raft_pkg.rpc import raft_pb2_grpc
from raft_pkg.rpc.options import SERVER_OPTIONS
from raft_testbed.proxy.control import ControlServer
from raft_testbed.proxy.relay import Relay
from raft_testbed.proxy.rules import Network

STOP_GRACE = 0.5
"""Seconds that streams get when it stops."""


async def serve_proxy(listen: str, control: str, seed: int | None) -> None:
    """Relay until SIGTERM or SIGINT. Raises `ConfigurationError` when an address can't be had."""
    network = Network(Random(seed))
    server = grpc.aio.server(options=SERVER_OPTIONS)
    raft_pb2_grpc.add_RaftPeerServicer_to_server(Relay(network), server)
    try:
        server.add_insecure_port(listen)
    except RuntimeError as error:
        raise ConfigurationError(f"--listen {listen}: {error}") from None
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        controls = await stack.enter_async_context(await ControlServer(network).start(control))
        stack.callback(controls.close)
        await server.start()
        stack.push_async_callback(server.stop, STOP_GRACE)
        await stop.wait()
