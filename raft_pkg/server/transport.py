"""Send messages to other nodes: one gRPC stream to each, dialled again whenever it breaks.

A message that can't be sent at once is dropped. Raft tolerates that: heartbeats reveal what a follower lacks.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import grpc.aio

from raft_pkg.core.messages import Message
from raft_pkg.events import Event
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.codec import encode_message
from raft_pkg.rpc.dial import dial, is_refused
from raft_pkg.rpc.options import ADDRESS_KEY, RECEIVER_KEY, SENDER_KEY
from raft_pkg.rpc.raft_pb2_grpc import RaftPeerStub

CONNECT_TIMEOUT = 1.0
"""Time-out of one connection attempt, in seconds."""
RECONNECT_DELAY = 0.1
"""Delay between two attempts, in seconds."""
RECONNECT_DELAY_MAX = 2.0
"""Longest delay, in seconds. The delay doubles while a peer accepts connections and ends each stream at once, which a
different node behind the same address does."""
QUEUE_BYTES_MAX = 64 * 1024 * 1024
"""Limit on the bytes of messages queued for one peer; beyond it, new messages are dropped."""
REFUSED_ATTEMPTS = 3
"""Number of connection attempts after a stream has broken, to find out whether the peer's process has ended. A process
that is just ending may accept one more connection."""
REFUSED_SECONDS = 0.05
"""Time-out of such an attempt, in seconds."""
REFUSED_DELAY = 0.01
"""Delay between two such attempts, in seconds."""
NON_MEMBERS_MAX = 16
"""Limit on the links to non-members, which exist only for replies; one more replaces the oldest."""
NON_MEMBER_SECONDS_MAX = 60.0
"""Lifetime of a link to a non-member after its newest message, in seconds."""
BATCH_BYTES_MAX = 4 * 1024 * 1024
"""Size at which a batch is sent, in bytes; the last message may exceed it."""

Sleep = Callable[[float], Awaitable[None]]
Report = Callable[..., None]
"""Receives a log event and its fields, like `EventLog.emit`."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The clock of a transport, in seconds of any monotonic clock, and a sleep that follows it."""

    clock: Callable[[], float] = time.monotonic
    sleep: Sleep = asyncio.sleep


class PeerLink:
    """The stream to one peer at HOST:PORT, or to the proxy for it. `run` maintains it; `send` never waits."""

    def __init__(
        self,
        names: tuple[str, str],
        address: str,
        own_address: str,
        report: Report,
        *,
        proxy: str | None,
        timing: Timing,
    ) -> None:
        """`names` are the ids of sender and recipient."""
        node_id, peer = names
        self.address = address
        self._peer = peer
        self._own_address = own_address
        self._proxy = proxy
        self._metadata = ((SENDER_KEY, node_id), (RECEIVER_KEY, peer), (ADDRESS_KEY, address)) if proxy else ()
        self._report = report
        self._timing = timing
        self._queue: deque[tuple[pb.PeerMessage, int]] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self.is_connected = False

    def send(self, message: Message) -> None:
        """Queue a message; drop it if there is no connection or the queue is full."""
        if self.is_connected and self._queued_bytes < QUEUE_BYTES_MAX:
            encoded = encode_message(message)
            size = encoded.ByteSize()
            self._queue.append((encoded, size))
            self._queued_bytes += size
            self._wake.set()

    async def run(self, on_unreachable: Callable[[str], None]) -> None:
        """Connect, send, and reconnect, until cancelled; call `on_unreachable` when the peer's process has ended."""
        clock, sleep = self._timing.clock, self._timing.sleep
        delay = RECONNECT_DELAY
        while True:
            try:
                channel, target = await dial(self._proxy or self.address, CONNECT_TIMEOUT)
            except ConnectionError:
                await sleep(RECONNECT_DELAY)
                continue
            async with channel:
                connected_at = clock()
                self.is_connected = True
                self._report(Event.PEER_CONNECTED, peer=self._peer, address=target)
                reason = await self._send_until_broken(RaftPeerStub(channel))
                self.is_connected = False
                self._queue.clear()
                self._queued_bytes = 0
                self._report(Event.PEER_DISCONNECTED, peer=self._peer, reason=reason)
            if not self._proxy and await self._is_refused(target):  # a proxy accepts connections for every peer
                on_unreachable(self._peer)
            lasted = clock() - connected_at > RECONNECT_DELAY_MAX
            delay = RECONNECT_DELAY if lasted else min(2 * delay, RECONNECT_DELAY_MAX)
            await sleep(delay)

    async def _is_refused(self, target: str) -> bool:
        """Return whether the peer's address refuses connections."""
        for attempt in range(REFUSED_ATTEMPTS):
            if attempt:
                await self._timing.sleep(REFUSED_DELAY)
            if await is_refused(target, REFUSED_SECONDS):
                return True
        return False

    async def _send_until_broken(self, stub: RaftPeerStub) -> str:
        """Write batches until the stream ends; return the reason."""
        call = cast("grpc.aio.StreamUnaryCall[pb.PeerBatch, pb.DeliverReply]", stub.Deliver(metadata=self._metadata))  # type: ignore[call-arg]
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
        except asyncio.InvalidStateError:  # the call ended before the write: its status holds the reason
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
        return pb.PeerBatch(messages=messages, from_address=self._own_address)


class GrpcTransport:
    """A `node.Transport` over gRPC: links to all peers, and to the non-members that have sent a message."""

    def __init__(
        self,
        node_id: str,
        own_address: str,
        report: Report,
        proxy: str | None = None,
        timing: Timing = Timing(),
    ) -> None:
        """`proxy` is the HOST:PORT of a `raftctl proxy` to send all messages through."""
        self._node_id = node_id
        self._own_address = own_address
        self._proxy = proxy
        self._report = report
        self._timing = timing
        self.on_peer_unreachable: Callable[[str], None] = lambda _peer: None
        """Called with the id of a peer that refuses connections: its process has ended."""
        self._links: dict[str, PeerLink] = {}
        self._non_members: dict[str, float] = {}
        """Time of the newest message of each non-member, oldest first. A former peer counts from its removal."""
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def update_peers(self, addresses: Mapping[str, str]) -> None:
        """Replace the set of peers: node id to HOST:PORT.

        A former peer becomes a non-member, so that it still gets replies for a while: a leader that is being removed
        needs them.
        """
        wanted = {node_id: address for node_id, address in addresses.items() if node_id != self._node_id}
        for node_id in self._links.keys() - wanted.keys() - self._non_members.keys():
            self._note_non_member(node_id)
        for node_id, address in wanted.items():
            self._non_members.pop(node_id, None)
            self._link(node_id, address)

    def add_remote(self, node_id: str, address: str) -> None:
        """Note that a node has sent a message. Replies go to `address` if the node is no peer."""
        if node_id != self._node_id and (node_id not in self._links or node_id in self._non_members):
            self._link(node_id, address)
            self._note_non_member(node_id)

    def send(self, messages: Sequence[Message]) -> None:
        """Queue the messages for their recipients, in order; drop those to nodes without a link."""
        for message in messages:
            link = self._links.get(message.recipient)
            if link is not None:
                link.send(message)

    async def run(self) -> None:
        """Maintain all links until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                for node_id, link in self._links.items():
                    self._start(node_id, link)
                while True:
                    await self._timing.sleep(NON_MEMBER_SECONDS_MAX / 4)
                    self._drop_idle_non_members()
        finally:
            self._tasks = None

    def _note_non_member(self, node_id: str) -> None:
        self._non_members.pop(node_id, None)
        self._non_members[node_id] = self._timing.clock()
        if len(self._non_members) > NON_MEMBERS_MAX:
            self._drop_non_member(next(iter(self._non_members)), "replaced by a more recent non-member")

    def _drop_idle_non_members(self) -> None:
        oldest = self._timing.clock() - NON_MEMBER_SECONDS_MAX
        for node_id in [node_id for node_id, received_at in self._non_members.items() if received_at < oldest]:
            self._drop_non_member(node_id, f"no message for {NON_MEMBER_SECONDS_MAX:.0f} s")

    def _drop_non_member(self, node_id: str, reason: str) -> None:
        del self._non_members[node_id]
        self._drop(node_id, reason)

    def _link(self, node_id: str, address: str) -> None:
        present = self._links.get(node_id)
        if present is not None and present.address == address:
            return
        self._drop(node_id, f"address changed to {address}")
        names = self._node_id, node_id
        link = PeerLink(names, address, self._own_address, self._report, proxy=self._proxy, timing=self._timing)
        self._links[node_id] = link
        self._start(node_id, link)

    def _start(self, node_id: str, link: PeerLink) -> None:
        if self._tasks is not None:
            self._runs[node_id] = self._tasks.create_task(link.run(self.on_peer_unreachable), name=f"link to {node_id}")

    def _drop(self, node_id: str, reason: str) -> None:
        link, run = self._links.pop(node_id, None), self._runs.pop(node_id, None)
        if run is not None:
            run.cancel()
        if link is not None and link.is_connected:
            link.is_connected = False
            self._report(Event.PEER_DISCONNECTED, peer=node_id, reason=reason)
