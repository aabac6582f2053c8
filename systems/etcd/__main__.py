"""`python -m systems.etcd`: one node, in the foreground, until SIGTERM."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable

import grpc.aio

from raft_pkg.errors import ConfigurationError
from raft_pkg.events import Event, EventLog
from raft_pkg.kv.service import add_key_value_service
from raft_pkg.rpc import raft_pb2_grpc
from raft_pkg.rpc.client_services import CommandStreamService, UnaryCalls
from raft_pkg.rpc.options import CHANNEL_OPTIONS, SERVER_OPTIONS
from systems.etcd import etcd_log_events
from systems.etcd.node import POLL_SECONDS, EtcdNode, NodeService
from systems.etcd.operations import Operations
from systems.etcd.probes import serve_probes
from systems.etcd.process import Etcd
from systems.etcd.settings import Settings
from systems.etcd.witness import Witness

STOP_GRACE = 1.0
"""Seconds that calls under way get when the node stops."""
ETCD_CHANNEL_OPTIONS = [
    *CHANNEL_OPTIONS,
    ("grpc.enable_retries", 0),  # a write must not be sent again behind our back
    ("grpc.default_authority", "etcd"),  # a socket's path is none that etcd takes
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
]
NO_SPACE = "no space left on device"


def main() -> int:
    """Exit status: 0 told to end, 1 etcd ended by itself, 2 the environment asks for what can't be."""
    try:
        return asyncio.run(_serve(Settings.from_environment(os.environ)))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2


async def _serve(settings: Settings) -> int:
    log = EventLog(settings.node_id)
    log.emit(
        Event.NODE_STARTED,
        listen=settings.listen,
        http=settings.http,
        peers=dict(settings.peers),
        data_dir=str(settings.data_dir),
        election_timeout_ms=[settings.election_timeout_ms_min, settings.election_timeout_ms_max],
        heartbeat_interval_ms=settings.heartbeat_interval_ms,
    )
    witness = Witness(settings.node_id, settings.member_names, log)

    def hear(message: str) -> None:
        word = etcd_log_events.parse(message)
        if word is not None:
            witness.hear(word)

    told, ending = await _run(settings, witness, hear, log)
    if told:
        log.emit(Event.NODE_STOPPED, reason=told)
        return 0
    if NO_SPACE in ending:
        log.emit(Event.STORAGE_FAILED, error=ending)
    log.emit(Event.NODE_STOPPED, reason=ending)
    sys.stderr.write(f"{ending}\n")
    return 1


async def _run(settings: Settings, witness: Witness, hear: Callable[[str], None], log: EventLog) -> tuple[str, str]:
    """Run until a signal comes or etcd ends; returns the signal, or nothing, and how etcd ended."""
    told = asyncio.create_task(_signal())
    async with contextlib.AsyncExitStack() as stack:
        etcd = await Etcd.start(settings, hear)
        ended = asyncio.create_task(etcd.run())
        stack.push_async_callback(etcd.stop)
        probes = serve_probes(settings.http, lambda: witness.leader is not None)
        stack.callback(probes.shutdown)
        channel = grpc.aio.insecure_channel(f"unix:{settings.socket}", options=ETCD_CHANNEL_OPTIONS)
        await stack.enter_async_context(channel)
        node = NodeService(settings, witness, channel)
        server = _server(settings, EtcdNode(settings, witness, Operations(channel)), node)
        await server.start()
        stack.push_async_callback(server.stop, STOP_GRACE)
        log.emit(Event.SERVING, address=settings.listen)
        watching = asyncio.create_task(_watch_terms(witness, node))
        stack.callback(watching.cancel)
        await asyncio.wait([ended, told, watching], return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            await watching  # raises what ended it
    return (told.result() if told.done() else ""), await ended


async def _signal() -> str:
    """Wait to be told to end; returns by which signal."""
    loop = asyncio.get_running_loop()
    told: asyncio.Queue[str] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.put_nowait, number.name)
    return await told.get()


def _server(settings: Settings, commands: EtcdNode, node: NodeService) -> grpc.aio.Server:
    server = grpc.aio.server(options=SERVER_OPTIONS)
    raft_pb2_grpc.add_CommandStreamServicer_to_server(CommandStreamService(commands), server)
    add_key_value_service(server, UnaryCalls(commands))
    raft_pb2_grpc.add_NodeServicer_to_server(node, server)
    try:
        server.add_insecure_port(settings.listen)
    except RuntimeError as error:
        raise ConfigurationError(f"RAFT_LISTEN {settings.listen}: {error}") from None
    return server


async def _watch_terms(witness: Witness, node: NodeService) -> None:
    """Ask etcd which term it has applied, while that makes a difference."""
    while True:
        await asyncio.sleep(POLL_SECONDS)
        if witness.is_waiting:
            with contextlib.suppress(grpc.aio.AioRpcError):
                witness.applied((await node.etcd_status()).raft_term)


if __name__ == "__main__":
    sys.exit(main())
