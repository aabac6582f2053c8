"""`python -m systems.etcd`: run one node in the foreground until SIGTERM."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable

import grpc.aio

from raft_pkg.errors import ConfigurationError
from raft_pkg.events import Event, EventLog
from raft_pkg.rpc.options import CHANNEL_OPTIONS
from raft_testbed.adapter import CommandExecutor, serve_probes, start_server, wait_for_stop_signal
from systems.etcd import etcd_log_events
from systems.etcd.leadership import LeadershipTracker
from systems.etcd.node_service import POLL_SECONDS, NodeService
from systems.etcd.options import EtcdOptions
from systems.etcd.process import EtcdProcess
from systems.etcd.state_machine import EtcdStateMachine

STOP_GRACE_SECONDS = 1.0
"""How long calls in progress may take when the node stops."""
ETCD_CHANNEL_OPTIONS = [
    *CHANNEL_OPTIONS,
    ("grpc.enable_retries", 0),  # gRPC must not repeat a write
    ("grpc.default_authority", "etcd"),  # etcd rejects the path of a socket as an authority
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
]
NO_SPACE = "no space left on device"


def main() -> int:
    """Return the exit status: 0 stopped by a signal, 1 etcd exited, 2 invalid environment."""
    try:
        return asyncio.run(_run(EtcdOptions.from_variables(os.environ)))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2


async def _run(options: EtcdOptions) -> int:
    environment = options.environment
    log = EventLog(environment.node_id)
    log.emit(
        Event.NODE_STARTED,
        listen=environment.listen,
        http=environment.http,
        peers=dict(environment.peers),
        data_dir=str(environment.data_dir),
        election_timeout_ms=[environment.election_timeout_ms_min, environment.election_timeout_ms_max],
        heartbeat_interval_ms=environment.heartbeat_interval_ms,
    )
    leadership = LeadershipTracker(environment.node_id, options.member_names, log)

    def handle_message(message: str) -> None:
        event = etcd_log_events.parse(message)
        if event is not None:
            leadership.handle(event)

    stop_signal, etcd_end = await _serve(options, leadership, handle_message, log)
    if stop_signal:
        log.emit(Event.NODE_STOPPED, reason=stop_signal)
        return 0
    if NO_SPACE in etcd_end:
        log.emit(Event.STORAGE_FAILED, error=etcd_end)
    log.emit(Event.NODE_STOPPED, reason=etcd_end)
    sys.stderr.write(f"{etcd_end}\n")
    return 1


async def _serve(
    options: EtcdOptions, leadership: LeadershipTracker, handle_message: Callable[[str], None], log: EventLog
) -> tuple[str, str]:
    """Serve until a signal or the end of etcd; return the signal's name ("" without one) and how etcd ended."""
    environment = options.environment
    stop_signal = asyncio.create_task(wait_for_stop_signal())
    async with contextlib.AsyncExitStack() as stack:
        etcd = await EtcdProcess.start(options, handle_message)
        etcd_end = asyncio.create_task(etcd.run())
        stack.push_async_callback(etcd.stop)
        probes = serve_probes(environment.http, lambda: leadership.leader is not None)
        stack.callback(probes.shutdown)
        channel = grpc.aio.insecure_channel(f"unix:{options.socket}", options=ETCD_CHANNEL_OPTIONS)
        await stack.enter_async_context(channel)
        executor = CommandExecutor(environment.node_id, environment.peers, leadership, EtcdStateMachine(channel))
        node = NodeService(environment, leadership, channel)
        server = await start_server(environment.listen, executor, node)
        stack.push_async_callback(server.stop, STOP_GRACE_SECONDS)
        log.emit(Event.SERVING, address=environment.listen)
        term_poll = asyncio.create_task(_poll_applied_term(leadership, node))
        stack.callback(term_poll.cancel)
        await asyncio.wait([etcd_end, stop_signal, term_poll], return_when=asyncio.FIRST_COMPLETED)
        if term_poll.done():
            await term_poll  # raises
    return (stop_signal.result() if stop_signal.done() else ""), await etcd_end


async def _poll_applied_term(leadership: LeadershipTracker, node: NodeService) -> None:
    """Poll the term that etcd has applied, while a term is unconfirmed."""
    while True:
        await asyncio.sleep(POLL_SECONDS)
        if leadership.is_unconfirmed:
            with contextlib.suppress(grpc.aio.AioRpcError):
                leadership.confirm_applied((await node.etcd_status()).raft_term)


if __name__ == "__main__":
    sys.exit(main())
