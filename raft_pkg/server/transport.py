"""Messages to peers: one stream to each, dialled again whenever it breaks.

What can't be sent at once is lost, and Raft bears that: heartbeats show the leader what a follower lacks.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import grpc.aio

from raft_pkg.core.messages import Message
from raft_pkg.events import Event
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.codec import encode_message
from raft_pkg.rpc.dial import dial
from raft_pkg.rpc.raft_pb2_grpc import RaftPeerStub

CONNECT_TIMEOUT = 1.0
"""Seconds that one attempt to connect may take."""
RECONNECT_DELAY = 0.1
"""Seconds between two attempts."""
RECONNECT_DELAY_MAX = 2.0
"""Seconds to which they grow with a peer that takes connections and ends each at once: it may be another node."""
QUEUE_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of messages that wait for one peer; when a peer takes none for so long, the newer ones are lost."""
BATCH_BYTES_MAX = 4 * 1024 * 1024
"""A batch takes no further message once it has reached this many bytes."""

Report = Callable[..., None]


class PeerLink:
    """The stream to one peer. `run` keeps it up; `send` never waits."""

    def __init__(self, peer: str, address: str, report: Report) -> None:
        self._peer = peer
        self._address = address
        self._report = report
        self._queue: deque[tuple[pb.PeerMessage, int]] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._connected = False

    def send(self, message: Message) -> None:
        """Queue a message, or lose it when there is no connection or the queue is full."""
        if self._connected and self._queued_bytes < QUEUE_BYTES_MAX:
            encoded = encode_message(message)
            size = encoded.ByteSize()
            self._queue.append((encoded, size))
            self._queued_bytes += size
            self._wake.set()

    async def run(self) -> None:
        """Connect, send, and begin again, until cancelled."""
        loop = asyncio.get_running_loop()
        delay = RECONNECT_DELAY
        while True:
            try:
                channel, target = await dial(self._address, CONNECT_TIMEOUT)
            except ConnectionError:
                await asyncio.sleep(RECONNECT_DELAY)
                continue
            async with channel:
                connected_at = loop.time()
                self._connected = True
                self._report(Event.PEER_CONNECTED, peer=self._peer, address=target)
                reason = await self._send_until_broken(RaftPeerStub(channel))
                self._connected = False
                self._queue.clear()
                self._queued_bytes = 0
                self._report(Event.PEER_DISCONNECTED, peer=self._peer, reason=reason)
            lasted = loop.time() - connected_at > RECONNECT_DELAY_MAX
            delay = RECONNECT_DELAY if lasted else min(2 * delay, RECONNECT_DELAY_MAX)
            await asyncio.sleep(delay)

    async def _send_until_broken(self, stub: RaftPeerStub) -> str:
        """Write batches for as long as the stream holds; returns why it did not."""
        call = cast("grpc.aio.StreamUnaryCall[pb.PeerBatch, pb.DeliverReply]", stub.Deliver())  # type: ignore[call-arg]
        call.add_done_callback(lambda _call: self._wake.set())
        try:
            while not call.done():
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    await call.write(self._take_batch())
            await call
        except grpc.aio.AioRpcError as error:
            return error.details() or error.code().name
        except asyncio.InvalidStateError:  # write to a call that has ended: its status says why
            return await call.details() or (await call.code()).name
        finally:
            call.cancel()
        return "the peer ended the stream"

    def _take_batch(self) -> pb.PeerBatch:
        messages, batch_bytes = [], 0
        while self._queue and batch_bytes < BATCH_BYTES_MAX:
            message, size = self._queue.popleft()
            messages.append(message)
            batch_bytes += size
        self._queued_bytes -= batch_bytes
        return pb.PeerBatch(messages=messages)


class GrpcTransport:
    """Links to all peers. Satisfies `node.Transport`."""

    def __init__(self, node_id: str, peers: Mapping[str, str], report: Report) -> None:
        self._links = {peer: PeerLink(peer, address, report) for peer, address in peers.items() if peer != node_id}

    def send(self, messages: Sequence[Message]) -> None:
        """Queue the messages for their recipients, in order."""
        for message in messages:
            self._links[message.recipient].send(message)

    async def run(self) -> None:
        """Keep all links up, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for link in self._links.values():
                tasks.create_task(link.run())
            await asyncio.Event().wait()  # a cluster of one has no links, and does not end for it
