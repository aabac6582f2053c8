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

    async def stop(self):
        self.takes.set()
        await self.server.stop(0)


@contextlib.asynccontextmanager
async def linked(*, started=True, gone=None, proxied=False):
    """A peer, a transport to it, and what the transport reports; `gone` gets the peers whose processes have ended."""
    (port,) = free_ports(1)
    peer = Peer(port)
    reports = []

    def report(event, **fields):
        reports.append((event, fields))

    transport = GrpcTransport("a", "127.0.0.1:1", report, peer.address if proxied else None)
    if gone is not None:
        transport.on_peer_unreachable = gone.append
    transport.update_peers({"a": "127.0.0.1:1", "b": peer.address})
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


def disconnected(reports):
    return [fields for event, fields in reports if event is Event.PEER_DISCONNECTED]


def message(term, size=0, recipient="b"):
    entries = (Entry(1, 1, EntryKind.COMMANDS, b"x" * size),) if size else ()
    return Message("a", recipient, term, AppendEntries(0, 0, entries, 0, 0))


@contextlib.asynccontextmanager
async def peers(count):
    """So many peers, a transport that knows of none of them, and what it reports."""
    reports = []
    started = [Peer(port) for port in free_ports(count)]
    for peer in started:
        await peer.start()
    transport = GrpcTransport("a", "127.0.0.1:1", lambda event, **fields: reports.append((event, fields)))
    running = asyncio.create_task(transport.run())
    try:
        await asyncio.sleep(0)
        yield started, transport, reports
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        for peer in started:
            await peer.stop()


async def arrives(transport, recipient, peer, term):
    """Send until it comes through: while there is no connection, messages are lost."""

    def sent_and_seen():
        transport.send([message(term, recipient=recipient)])
        return term in peer.terms

    await until(sent_and_seen)


async def test_messages_arrive_in_the_order_in_which_they_were_sent():
    async with linked() as (peer, transport, reports):
        await until(lambda: connected(reports))
        assert reports[0] == (Event.PEER_CONNECTED, {"peer": "b", "address": peer.address})
        transport.send([message(term) for term in range(1, 200)])
        transport.send([message(200)])
        await until(lambda: len(peer.terms) == 200)
        assert peer.terms == list(range(1, 201))


async def test_a_peer_whose_process_has_ended_is_gone():
    gone = []
    async with linked(gone=gone) as (peer, transport, reports):
        await until(lambda: connected(reports))
        assert gone == []
        await peer.stop()
        await until(lambda: gone)
        assert gone == ["b"]
        await peer.start()
        await arrives(transport, "b", peer, 7)
        await peer.stop()
        await until(lambda: gone == ["b", "b"])


async def test_a_peer_that_ends_a_stream_and_takes_connections_is_not_gone():
    gone = []
    async with linked(gone=gone) as (peer, _, reports):
        peer.refuses = True
        await until(lambda: connected(reports) >= 3)
        assert gone == []


async def test_behind_a_proxy_nobody_can_say_who_is_gone():
    gone = []
    async with linked(gone=gone, proxied=True) as (peer, _, reports):
        await until(lambda: connected(reports))
        await peer.stop()
        await until(lambda: disconnected(reports))
        await peer.start()
        await until(lambda: connected(reports) == 2)
        assert gone == []


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


# --- who is reached ---------------------------------------------------------------------------------------------------


async def test_links_come_and_go_with_those_that_the_node_wants_to_reach():
    async with peers(2) as ((b, c), transport, reports):
        transport.update_peers({"a": "127.0.0.1:1", "b": b.address})
        await arrives(transport, "b", b, 1)
        transport.update_peers({"b": b.address, "c": c.address})
        await arrives(transport, "c", c, 2)
        transport.update_peers({"c": c.address})
        await arrives(transport, "b", b, 3)
        await arrives(transport, "c", c, 4)
        assert connected(reports) == 2, "who stays is not dialled again, and who leaves can still be answered"


async def test_who_is_no_member_and_says_nothing_is_forgotten(monkeypatch):
    monkeypatch.setattr(transport_module, "NON_MEMBER_SECONDS_MAX", 0.2)
    async with peers(1) as ((b,), transport, reports):
        transport.update_peers({"b": b.address})
        await arrives(transport, "b", b, 1)
        transport.update_peers({})
        await until(lambda: disconnected(reports))
        assert disconnected(reports) == [{"peer": "b", "reason": "no message for 0 s"}]
        heard = list(b.terms)
        transport.send([message(3, recipient="b")])
        await asyncio.sleep(0.05)
        assert b.terms == heard


async def test_a_node_that_moves_is_reached_where_it_is_now():
    async with peers(2) as ((old, new), transport, reports):
        transport.update_peers({"b": old.address})
        await arrives(transport, "b", old, 1)
        transport.update_peers({"b": new.address})
        await arrives(transport, "b", new, 2)
        assert 2 not in old.terms
        assert disconnected(reports) == [{"peer": "b", "reason": f"address changed to {new.address}"}]


async def test_a_non_member_that_asks_is_answered_where_it_says_that_it_is():
    async with peers(2) as ((first, second), transport, _):
        transport.update_peers({})
        transport.add_remote("d", first.address)
        await arrives(transport, "d", first, 1)
        transport.update_peers({})  # what the node wants to reach is one matter, who asks it another
        await arrives(transport, "d", first, 2)
        transport.add_remote("d", second.address)
        await arrives(transport, "d", second, 3)
        assert 3 not in first.terms


async def test_nobody_else_says_where_a_member_or_the_node_itself_is():
    async with peers(2) as ((b, impostor), transport, reports):
        transport.update_peers({"b": b.address})
        transport.add_remote("b", impostor.address)
        transport.add_remote("a", impostor.address)
        await arrives(transport, "b", b, 1)
        assert impostor.terms == []
        assert connected(reports) == 1


async def test_a_non_member_becomes_a_member_and_is_forgotten_as_one():
    async with peers(1) as ((d,), transport, reports):
        transport.add_remote("d", d.address)
        await arrives(transport, "d", d, 1)
        transport.update_peers({"d": d.address})
        assert disconnected(reports) == [], "the link that is there is kept"
        transport.update_peers({})
        await arrives(transport, "d", d, 2)
        assert disconnected(reports) == [], "and it can still be answered"


async def test_of_many_non_members_the_newest_are_answered(monkeypatch):
    monkeypatch.setattr(transport_module, "NON_MEMBERS_MAX", 2)
    async with peers(3) as (non_members, transport, reports):
        for name, peer in zip("xyz", non_members, strict=True):
            transport.add_remote(name, peer.address)
            await arrives(transport, name, peer, 1)
        assert disconnected(reports) == [{"peer": "x", "reason": "replaced by a more recent non-member"}]
        for number in range(1000):
            transport.add_remote(f"non-member-{number}", "127.0.0.1:9")
        assert len(transport._links) == len(transport._runs) == 2


async def test_a_non_member_with_a_senseless_address_harms_nobody():
    """Regression: it ended all links, and with them the node."""
    async with peers(1) as ((b,), transport, _):
        for number, address in enumerate(["nonsense", "host:", "[::1:5", "\0:1"]):
            transport.add_remote(f"non-member-{number}", address)
        await asyncio.sleep(0.1)
        transport.update_peers({"b": b.address})
        await arrives(transport, "b", b, 1)


async def test_after_its_end_a_transport_takes_everything_and_sends_nothing():
    """A node ends while its peers still talk to it."""
    transport = GrpcTransport("a", "127.0.0.1:1", lambda *_event, **_fields: None)
    running = asyncio.create_task(transport.run())
    await asyncio.sleep(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    transport.update_peers({"b": "127.0.0.1:9"})
    transport.add_remote("c", "127.0.0.1:9")
    transport.send([message(1)])
