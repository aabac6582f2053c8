"""Links to peers: they come back, say why they broke, and hold no more than they may for a peer that takes nothing."""

import asyncio
import contextlib

import grpc

from raft_pkg.core.messages import AppendEntries, Message, RequestVote
from raft_pkg.core.types import Entry, EntryKind
from raft_pkg.events import Event
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc import raft_pb2_grpc
from raft_pkg.rpc.options import SERVER_OPTIONS
from raft_pkg.server import transport as transport_module
from raft_pkg.server.transport import GrpcTransport
from tests.support.servers import free_ports, until


class Peer(raft_pb2_grpc.RaftPeerServicer):
    """A peer that takes messages, refuses, or takes nothing."""

    def __init__(self, port):
        self.address = f"127.0.0.1:{port}"
        self.terms: list[int] = []
        self.batches: list[int] = []
        self.refuses = False
        self.takes = asyncio.Event()
        self.takes.set()

    async def Deliver(self, batches, context):  # noqa: N802
        if self.refuses:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "this is b, not c")
        await self.takes.wait()
        async for batch in batches:
            self.batches.append(len(batch.messages))
            self.terms += [message.term for message in batch.messages]
        return pb.DeliverReply()

    async def start(self):
        self.server = grpc.aio.server(options=SERVER_OPTIONS)
        raft_pb2_grpc.add_RaftPeerServicer_to_server(self, self.server)
        self.server.add_insecure_port(self.address)
        await self.server.start()


@contextlib.asynccontextmanager
async def linked(*, started=True):
    """A peer, a transport to it, and what the transport reports."""
    (port,) = free_ports(1)
    peer = Peer(port)
    reports = []

    def report(event, **fields):
        reports.append((event, fields))

    transport = GrpcTransport("a", "127.0.0.1:1", report)
    transport.reach({"a": "127.0.0.1:1", "b": peer.address})
    if started:
        await peer.start()
    running = asyncio.create_task(transport.run())
    try:
        yield peer, transport, reports
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        peer.takes.set()
        if hasattr(peer, "server"):
            await peer.server.stop(0)


def connected(reports):
    return sum(event is Event.PEER_CONNECTED for event, _ in reports)


def message(term, size=0):
    entries = (Entry(1, 1, EntryKind.COMMANDS, b"x" * size),) if size else ()
    return Message("a", "b", term, AppendEntries(0, 0, entries, 0, 0))


async def test_messages_arrive_in_the_order_in_which_they_were_sent():
    async with linked() as (peer, transport, reports):
        await until(lambda: connected(reports))
        assert reports[0] == (Event.PEER_CONNECTED, {"peer": "b", "address": peer.address})
        transport.send([message(term) for term in range(1, 200)])
        transport.send([message(200)])
        await until(lambda: len(peer.terms) == 200)
        assert peer.terms == list(range(1, 201))


async def test_what_cannot_be_sent_is_lost_and_nobody_waits():
    async with linked(started=False) as (_, transport, reports):
        transport.send([Message("a", "b", 1, RequestVote(0, 0))])
        assert reports == []


async def test_a_peer_that_comes_late_or_again_is_found():
    async with linked(started=False) as (peer, transport, reports):
        await asyncio.sleep(0.2)
        await peer.start()
        await until(lambda: connected(reports) == 1)
        await peer.server.stop(0)
        await until(lambda: reports[-1][0] is Event.PEER_DISCONNECTED)
        assert reports[-1][1]["peer"] == "b"
        assert reports[-1][1]["reason"]
        await peer.start()
        await until(lambda: connected(reports) == 2)
        transport.send([message(7)])
        await until(lambda: peer.terms == [7])


async def test_why_a_peer_refused_is_reported():
    async with linked() as (peer, _, reports):
        peer.refuses = True
        await until(lambda: any(event is Event.PEER_DISCONNECTED for event, _ in reports))
        reasons = [fields["reason"] for event, fields in reports if event is Event.PEER_DISCONNECTED]
        assert reasons[0] == "this is b, not c"


async def test_a_peer_that_refuses_is_asked_ever_less_often():
    """Regression: another node behind the address filled the log with twenty lines a second."""
    async with linked() as (peer, _, reports):
        peer.refuses = True
        await asyncio.sleep(1.2)
        assert 1 <= connected(reports) <= 5
        peer.refuses = False
        await until(lambda: reports[-1][0] is Event.PEER_CONNECTED)


async def test_what_waits_for_a_peer_that_takes_nothing_is_bounded(monkeypatch):
    """A paused peer; the newest are lost, and what was queued arrives once it goes on."""
    monkeypatch.setattr(transport_module, "QUEUE_BYTES_MAX", 20_000)
    async with linked() as (peer, transport, reports):
        peer.takes.clear()
        await until(lambda: connected(reports))
        for term in range(1, 501):
            transport.send([message(term, size=1000)])
        peer.takes.set()
        await until(lambda: peer.terms)
        await asyncio.sleep(0.2)
        assert 15 <= len(peer.terms) <= 21
        assert peer.terms == list(range(1, len(peer.terms) + 1))
        transport.send([message(1000)])
        await until(lambda: peer.terms[-1] == 1000)


async def test_a_batch_is_limited_in_bytes(monkeypatch):
    """However much waits, no message is larger than gRPC takes."""
    monkeypatch.setattr(transport_module, "BATCH_BYTES_MAX", 3_000)
    async with linked() as (peer, transport, reports):
        await until(lambda: connected(reports))
        transport.send([message(term, size=1000) for term in range(1, 51)])
        await until(lambda: len(peer.terms) == 50)
        assert max(peer.batches) == 3
