"""Relay of streams: for each stream that a node opens, the relay opens one to the receiver."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc.aio

from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc import raft_pb2_grpc
from raft_pkg.rpc.dial import dial
from raft_pkg.rpc.options import ADDRESS_KEY, RECEIVER_KEY, SENDER_KEY
from raft_testbed.proxy.link_rules import Link, Network

CONNECT_TIMEOUT = 1.0
"""Deadline of an attempt to connect to the receiver, in seconds."""
RECONNECT_DELAY = 0.05
"""Delay between two attempts, in seconds."""
RESET_POLL_SECONDS = 0.05
"""Interval at which a stream checks for a rule that resets it."""
QUEUE_BYTES_MAX = 64 * 1024 * 1024
"""Limit of queued messages for one receiver; further messages are dropped."""

Context = grpc.aio.ServicerContext[pb.PeerBatch, pb.DeliverReply]

if TYPE_CHECKING:
    _Call = grpc.aio.StreamUnaryCall[pb.PeerBatch, pb.DeliverReply]


class Relay(raft_pb2_grpc.RaftPeerServicer):
    """Accepts the nodes' streams. Messages for an unreachable receiver are dropped, as on a network."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def Deliver(self, batches: AsyncIterator[pb.PeerBatch], context: Context) -> pb.DeliverReply:  # noqa: N802
        """Relay a stream (see raft.proto) until the receiver's stream ends, and end with the same status."""
        metadata = dict(context.invocation_metadata() or ())
        try:
            link = str(metadata[SENDER_KEY]), str(metadata[RECEIVER_KEY])
            address = str(metadata[ADDRESS_KEY])
        except KeyError as missing:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"the stream has no metadata {missing}")
        outgoing = _Outgoing(link, address, self._network)
        endings = [asyncio.create_task(outgoing.send()), asyncio.create_task(self._reset_by_rule(link))]
        tasks = [asyncio.create_task(outgoing.receive(batches)), *endings]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            code, reason = next((task.result() for task in endings if task in done), (grpc.StatusCode.OK, ""))
        finally:
            for task in tasks:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)
        if code is not grpc.StatusCode.OK:
            await context.abort(code, reason)
        return pb.DeliverReply()

    async def _reset_by_rule(self, link: Link) -> tuple[grpc.StatusCode, str]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        limit: float | None = None
        while limit is None or loop.time() - began < limit:
            await asyncio.sleep(RESET_POLL_SECONDS)
            delay = self._network.reset_delay(link, loop.time())
            if delay is None:
                limit = None
            elif limit is None:
                began, limit = loop.time(), delay
        self._network.count(link, "resets")
        return grpc.StatusCode.UNAVAILABLE, "reset by the proxy"


class _Outgoing:
    """Queued messages for one receiver."""

    def __init__(self, link: Link, address: str, network: Network) -> None:
        self._link = link
        self._address = address
        self._network = network
        self._queue: asyncio.Queue[tuple[pb.PeerBatch, int]] = asyncio.Queue()
        self._queued_bytes = 0
        self._connected = False

    async def receive(self, batches: AsyncIterator[pb.PeerBatch]) -> None:
        """Queue, delay, duplicate or drop each message, until the sender's stream ends."""
        loop = asyncio.get_running_loop()
        async for batch in batches:
            immediate = pb.PeerBatch(from_address=batch.from_address)
            for message in batch.messages:
                for delay in self._network.delays(self._link, message.ByteSize(), loop.time()):
                    if delay:
                        later = pb.PeerBatch(messages=[message], from_address=batch.from_address)
                        loop.call_later(delay, self._put, later)
                    else:
                        immediate.messages.append(message)
            if immediate.messages:
                self._put(immediate)

    def _put(self, batch: pb.PeerBatch) -> None:
        size = batch.ByteSize()
        if not self._connected or self._queued_bytes + size > QUEUE_BYTES_MAX:
            for _ in batch.messages:
                self._network.count(self._link, "unreachable")
            return
        self._queued_bytes += size
        self._queue.put_nowait((batch, size))

    async def send(self) -> tuple[grpc.StatusCode, str]:
        """Connect to the receiver without a deadline, send until its stream ends, and return the stream's status."""
        while True:
            try:
                channel, _ = await dial(self._address, CONNECT_TIMEOUT)
                break
            except ConnectionError:
                await asyncio.sleep(RECONNECT_DELAY)
        async with channel:
            call: _Call = raft_pb2_grpc.RaftPeerStub(channel).Deliver()
            ended = asyncio.create_task(_status(call))
            self._connected = True
            writing = asyncio.create_task(self._write(call))
            try:
                await asyncio.wait([ended, writing], return_when=asyncio.FIRST_COMPLETED)
                return await ended
            finally:
                self._connected = False
                writing.cancel()
                ended.cancel()
                call.cancel()

    async def _write(self, call: "_Call") -> None:
        # the status of the call states the reason
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                batch, size = await self._queue.get()
                self._queued_bytes -= size
                await call.write(batch)


async def _status(call: "_Call") -> tuple[grpc.StatusCode, str]:
    code = await call.code()
    return (grpc.StatusCode.UNAVAILABLE if code is grpc.StatusCode.OK else code), await call.details() or ""
