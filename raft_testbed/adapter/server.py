"""The gRPC server of an adapter."""

import asyncio
import signal

import grpc.aio

from raft_pkg.errors import ConfigurationError
from raft_pkg.kv.service import add_key_value_service
from raft_pkg.rpc import raft_pb2_grpc
from raft_pkg.rpc.client_services import CommandStreamService, UnaryCalls
from raft_pkg.rpc.options import SERVER_OPTIONS
from raft_testbed.adapter.executor import CommandExecutor


async def start_server(address: str, executor: CommandExecutor, node: raft_pb2_grpc.NodeServicer) -> grpc.aio.Server:
    """Serve CommandStream and KeyValue by `executor`, and Node by `node`, on HOST:PORT.

    Raise `ConfigurationError` when the address cannot be bound.
    """
    server = grpc.aio.server(options=SERVER_OPTIONS)
    raft_pb2_grpc.add_CommandStreamServicer_to_server(CommandStreamService(executor), server)
    raft_pb2_grpc.add_NodeServicer_to_server(node, server)
    add_key_value_service(server, UnaryCalls(executor))
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise ConfigurationError(f"RAFT_LISTEN {address}: {error}") from None
    await server.start()
    return server


async def wait_for_stop_signal() -> str:
    """Wait for SIGTERM or SIGINT; return its name."""
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[str] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number.name)
    return await signals.get()
