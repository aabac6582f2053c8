"""A node as a process: compose storage, transport, event loop and gRPC services, and run them until a signal."""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import grpc.aio
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from raft_pkg import __version__
from raft_pkg.addresses import parse_address
from raft_pkg.errors import ConfigurationError
from raft_pkg.events import Event, EventLog
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc import raft_pb2_grpc
from raft_pkg.rpc.client_services import CommandStreamService, UnaryCalls
from raft_pkg.rpc.options import SERVER_OPTIONS
from raft_pkg.server.config import ServerConfig
from raft_pkg.server.http import serve_http
from raft_pkg.server.node import Node
from raft_pkg.server.resources import log_resources
from raft_pkg.server.services import NodeService, RaftPeerService
from raft_pkg.server.state_machine import StateMachine
from raft_pkg.server.transport import GrpcTransport
from raft_pkg.storage import FileStorage

STOP_GRACE = 1.0
"""Seconds that running calls get to complete when the node stops."""
COLLECT_AFTER = (20_000, 20, 100)
"""Thresholds of the garbage collector's generations. A node frees nearly all of its objects by reference count, and the
pause of a full collection grows with the number of objects."""


ServiceRegistration = Callable[[grpc.aio.Server, UnaryCalls], str]
"""Registers the state machine's own gRPC service with a server, and returns the service's full name."""


def run(
    config: ServerConfig, machine: Callable[[], StateMachine], add_service: ServiceRegistration | None = None
) -> int:
    """Serve a state machine until SIGTERM or SIGINT; return the exit status 0.

    `machine` makes an empty state machine. `add_service` registers a gRPC service in the state machine's own terms, in
    addition to CommandStream, which serves any state machine.

    Raise `ConfigurationError` (an address is not available), `StorageError` (the data directory is not usable, or a
    write failed), `InvariantError` (a safety property is violated).
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # takes a fifth less time per message
        runner.run(_serve(config, machine(), add_service))
    return 0


async def _serve(config: ServerConfig, machine: StateMachine, add_service: ServiceRegistration | None = None) -> None:
    _require_free(config.listen)  # before the data directory is created: a port in use must change nothing
    log = EventLog(config.node_id)
    log.emit(
        Event.NODE_STARTED,
        version=__version__,
        listen=config.listen,
        http=config.http,
        peers=dict(config.peers),
        data_dir=str(config.data_dir),
        election_timeout_ms=[round(config.election_timeout_min * 1000), round(config.election_timeout_max * 1000)],
        heartbeat_interval_ms=round(config.heartbeat_interval * 1000),
    )
    storage = FileStorage(config.data_dir, config.node_id)
    try:
        transport = GrpcTransport(config.node_id, config.peers[config.node_id], log.emit, config.peer_proxy)
        with ThreadPoolExecutor(1, thread_name_prefix="snapshot") as executor:
            node = Node(config, storage, machine, transport, log, executor=executor.submit)
            transport.on_peer_unreachable = node.peer_unreachable
            await _serve_node(config, node, transport, log, add_service)
    finally:
        storage.close()


async def _serve_node(
    config: ServerConfig,
    node: Node,
    transport: GrpcTransport,
    log: EventLog,
    add_service: ServiceRegistration | None,
) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.stop, signal.Signals(number).name)
    server = grpc.aio.server(options=SERVER_OPTIONS)
    _register_services(server, node, add_service)
    async with contextlib.AsyncExitStack() as stack:
        address = await _listen(server, config.listen)
        stack.push_async_callback(server.stop, STOP_GRACE)
        if config.http:
            stack.callback(serve_http(node, config.http).shutdown)
        log.emit(Event.SERVING, address=address)
        resources = asyncio.create_task(log_resources(log, config.data_dir))
        stack.push_async_callback(_cancel, resources)
        links = asyncio.create_task(transport.run())
        # The links run until cancelled. If they fail, stop: a node without links must not appear live.
        links.add_done_callback(lambda _links: node.stop("the links to the peers ended"))
        stack.push_async_callback(_cancel, links)
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        reason = await node.run()
        log.emit(Event.NODE_STOPPED, reason=reason)


async def _cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task; propagate the exception of a task that failed before."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _register_services(server: grpc.aio.Server, node: Node, add_service: ServiceRegistration | None) -> None:
    raft_pb2_grpc.add_RaftPeerServicer_to_server(RaftPeerService(node), server)
    raft_pb2_grpc.add_CommandStreamServicer_to_server(CommandStreamService(node), server)
    raft_pb2_grpc.add_NodeServicer_to_server(NodeService(node), server)
    names = [service.full_name for service in pb.DESCRIPTOR.services_by_name.values()]
    if add_service is not None:
        names.append(add_service(server, UnaryCalls(node)))
    health_servicer = _LeaderHealth(names)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    node.on_leader_changed = health_servicer.leader_changed
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)


class _LeaderHealth(HealthServicer):
    """Reports SERVING for the server ("") and each service while the node knows a leader."""

    def __init__(self, services: Iterable[str]) -> None:
        super().__init__()
        self._services = ("", *services)
        self._tasks: set[asyncio.Task[None]] = set()
        self.leader_changed(None)

    def leader_changed(self, leader: str | None) -> None:
        """Update the status. The servicer's `set` is a coroutine, so a task calls it."""
        task = asyncio.create_task(self._set_all(leader is not None))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _set_all(self, known: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if known else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in self._services:
            await self.set(service, status)


async def _listen(server: grpc.aio.Server, address: str) -> str:
    """Bind and start the server; return HOST:PORT with the bound port. Raise `ConfigurationError` with the reason."""
    host, _ = parse_address(address, "--listen", port_min=0)
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError as error:
        raise ConfigurationError(f"--listen {address}: {error}") from None
    await server.start()
    return f"{host}:{bound}"


def _require_free(address: str) -> None:
    """Raise `ConfigurationError` with the reason if the address can't be bound; gRPC does not give the reason."""
    host, port = parse_address(address, "--listen", port_min=0)
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        raise ConfigurationError(f"--listen {address}: {error.strerror or error}") from None
