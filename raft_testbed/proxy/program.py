"""The program of `raftctl proxy serve`."""

import asyncio
import contextlib
import signal
from random import Random

import grpc.aio

from raft_pkg.errors import ConfigurationError
from raft_pkg.rpc import raft_pb2_grpc
from raft_pkg.rpc.options import SERVER_OPTIONS
from raft_testbed.proxy.control import ControlServer
from raft_testbed.proxy.link_rules import Network
from raft_testbed.proxy.relay import Relay

STOP_GRACE = 0.5
"""Grace period for streams when the proxy stops, in seconds."""


async def serve_proxy(listen: str, control: str, seed: int | None) -> None:
    """Relay messages until SIGTERM or SIGINT. Raise `ConfigurationError` if an address is not available."""
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
