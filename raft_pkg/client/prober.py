"""Looks for a better node while the active one is suspect."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack

import grpc

from raft_pkg.client.channel import CONNECT_TIMEOUT_SECONDS, UnreachableError, fetch_status, open_channel
from raft_pkg.rpc import raft_pb2 as pb

PROBE_INTERVAL_FIRST_SECONDS = 0.01
"""Between the first two probes of a node. Short, since an election may be in progress."""
PROBE_INTERVAL_FACTOR = 1.1
"""Growth of the interval from one probe to the next."""


class Prober:
    """Asks other nodes for their status until one of them is acceptable.

    `accepts` decides from a node's status whether the client can use it. `switch` is called with the address of the
    first acceptable node and a channel to it, and returns whether it keeps the channel.
    """

    def __init__(
        self, accepts: Callable[[pb.StatusResponse], bool], switch: Callable[[str, grpc.aio.Channel], bool]
    ) -> None:
        self._accepts = accepts
        self._switch = switch
        self._probes: set[asyncio.Task[None]] = set()

    @property
    def is_running(self) -> bool:
        return bool(self._probes)

    def start(self, group: asyncio.TaskGroup, addresses: Iterable[str], is_suspect: Callable[[], bool]) -> None:
        """Probe all `addresses` concurrently for as long as `is_suspect()` holds."""
        for address in addresses:
            probe = group.create_task(self._probe(address, is_suspect), name=f"raft-client-probes-{address}")
            self._probes.add(probe)
            probe.add_done_callback(self._probes.discard)

    async def _probe(self, address: str, is_suspect: Callable[[], bool]) -> None:
        try:
            channel = await open_channel(address)
        except UnreachableError:
            return
        interval = PROBE_INTERVAL_FIRST_SECONDS
        async with AsyncExitStack() as stack:
            stack.push_async_callback(channel.close, None)
            while is_suspect():
                try:
                    async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                        status = await fetch_status(channel)
                except (grpc.aio.AioRpcError, TimeoutError):
                    return
                if self._accepts(status) and is_suspect():
                    if self._switch(address, channel):
                        stack.pop_all()
                    return
                await asyncio.sleep(interval)
                interval *= PROBE_INTERVAL_FACTOR
