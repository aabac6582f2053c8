"""The streams: each that a node opens is continued by one to the node that it is for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc.aio

from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc import raft_pb2_grpc
from raft_pkg.rpc.dial import dial
from raft_pkg.rpc.peer_proxy import ADDRESS_KEY, RECEIVER_KEY, SENDER_KEY
from raft_testbed.proxy.rules import Link, Network

CONNECT_TIMEOUT = 1.0
"""Seconds that one attempt to connect to the receiver may take."""
RECONNECT_DELAY = 0.05
"""Seconds between two attempts."""
RESET_POLL_SECONDS = 0.05
"""How often a stream looks whether it is to be broken."""
QUEUE_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of messages that wait for one receiver; newer ones are lost."""

Context = grpc.aio.ServicerContext[pb.PeerBatch, pb.DeliverReply]

if TYPE_CHECKING:
    _Call = grpc.aio.StreamUnaryCall[pb.PeerBatch, pb.DeliverReply]


class Relay(raft_pb2_grpc.RaftPeerServicer):
    """Takes the nodes' streams. While a receiver can't be reached, what is for it is lost, as on a network."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def Deliver(self, batches: AsyncIterator[pb.PeerBatch], context: Context) -> pb.DeliverReply:  # noqa: N802
        """See raft.proto. It ends when the receiver's stream does, with the same status."""
        metadata = dict(context.invocation_metadata() or ())
        try:
            link = str(metadata[SENDER_KEY]), str(metadata[RECEIVER_KEY])
            address = str(metadata[ADDRESS_KEY])
        except KeyError as missing:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"the stream has no metadata {missing}")
        outgoing = _Outgoing(link, address, self._network)
        endings = [asyncio.create_task(outgoing.send()), asyncio.create_task(self._break_when_told(link))]
        tasks = [asyncio.create_task(outgoing.take_in(batches)), *endings]
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

    async def _break_when_told(self, link: Link) -> tuple[grpc.StatusCode, str]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        limit: float | None = None
        while limit is None or loop.time() - began < limit:
            await asyncio.sleep(RESET_POLL_SECONDS)
            wanted = self._network.reset_delay(link, loop.time())
            if wanted is None:
                limit = None
            elif limit is None:
                began, limit = loop.time(), wanted
        self._network.count(link, "resets")
        return grpc.StatusCode.UNAVAILABLE, "reset by the proxy"


class _Outgoing:
    """What is on its way to one receiver."""

    def __init__(self, link: Link, address: str, network: Network) -> None:
        self._link = link
        self._address = address
        self._network = network
        self._queue: asyncio.Queue[tuple[pb.PeerBatch, int]] = asyncio.Queue()
        self._queued_bytes = 0
        self._connected = False

    async def take_in(self, batches: AsyncIterator[pb.PeerBatch]) -> None:
        """Decide what becomes of each message, for as long as the sender has any."""
        loop = asyncio.get_running_loop()
        async for batch in batches:
            at_once = pb.PeerBatch(from_address=batch.from_address)
            for message in batch.messages:
                for delay in self._network.fate(self._link, message.ByteSize(), loop.time()):
                    if delay:
                        later = pb.PeerBatch(messages=[message], from_address=batch.from_address)
                        loop.call_later(delay, self._put, later)
                    else:
                        at_once.messages.append(message)
            if at_once.messages:
                self._put(at_once)

    def _put(self, batch: pb.PeerBatch) -> None:
        size = batch.ByteSize()
        if not self._connected or self._queued_bytes + size > QUEUE_BYTES_MAX:
            for _ in batch.messages:
                self._network.count(self._link, "unreachable")
            return
        self._queued_bytes += size
        self._queue.put_nowait((batch, size))

    async def send(self) -> tuple[grpc.StatusCode, str]:
        """Connect to the receiver, however long it takes, and send until its stream ends; returns how it did."""
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
        # the call's own status says why no more can be written
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                batch, size = await self._queue.get()
                self._queued_bytes -= size
                await call.write(batch)


async def _status(call: "_Call") -> tuple[grpc.StatusCode, str]:
    code = await call.code()
    return (grpc.StatusCode.UNAVAILABLE if code is grpc.StatusCode.OK else code), await call.details() or ""
