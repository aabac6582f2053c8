"""The transport to peers: reconnection, reported reasons, limits of queues and links."""

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
from raft_pkg.server.transport import RECONNECT_DELAY, RECONNECT_DELAY_MAX, GrpcTransport, Timing
from tests.support.clocks import ManualTime
from tests.support.servers import free_ports, until


class Peer(raft_pb2_grpc.RaftPeerServicer):
    """A peer that receives messages, refuses the stream, or does not read from it."""

    def __init__(self, port):
        self.address = f"127.0.0.1:{port}"
        self.terms: list[int] = []
        self.batches: list[int] = []
        self.refuses = False
        self.reads = asyncio.Event()
        self.reads.set()

    async def Deliver(self, batches, context):  # noqa: N802
        if self.refuses:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "this is b, not c")
        await self.reads.wait()
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
        self.reads.set()
        await self.server.stop(0)


@contextlib.asynccontextmanager
async def linked(*, started=True, unreachable=None, proxied=False, time=None):
    """Yield a peer, a transport to it, and the reports; unreachable peers are appended to `unreachable`."""
    (port,) = free_ports(1)
    peer = Peer(port)
    reports = []

    def report(event, **fields):
        reports.append((event, fields))

    transport = GrpcTransport("a", "127.0.0.1:1", report, peer.address if proxied else None, timing_of(time))
    if unreachable is not None:
        transport.on_peer_unreachable = unreachable.append
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
        peer.reads.set()
        if hasattr(peer, "server"):
            await peer.server.stop(0)


def timing_of(time):
    return Timing(time.clock, time.sleep) if time else Timing()


def connected(reports):
    return sum(event is Event.PEER_CONNECTED for event, _ in reports)


def disconnected(reports):
    return [fields for event, fields in reports if event is Event.PEER_DISCONNECTED]


def message(term, size=0, recipient="b"):
    entries = (Entry(1, 1, EntryKind.COMMANDS, b"x" * size),) if size else ()
    return Message("a", recipient, term, AppendEntries(0, 0, entries, 0, 0))


@contextlib.asynccontextmanager
async def peers(count, time=None):
    """Yield running peers, a transport that has no links yet, and its reports."""
    reports = []
    started = [Peer(port) for port in free_ports(count)]
    for peer in started:
        await peer.start()

    def report(event, **fields):
        reports.append((event, fields))

    transport = GrpcTransport("a", "127.0.0.1:1", report, timing=timing_of(time))
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
    """Send a message until it arrives: without a connection, messages are dropped."""

    def is_received():
        transport.send([message(term, recipient=recipient)])
        return term in peer.terms

    await until(is_received)


async def reconnected(time, transport, peer, term):
    """Skip the delays of the link and send a message until it arrives."""

    def is_received():
        time.wake_next(RECONNECT_DELAY_MAX)
        transport.send([message(term)])
        return term in peer.terms

    await until(is_received)


async def next_delay(time):
    """Wait until the link sleeps before its next connection attempt, skip the delay, and return it."""
    while True:
        await until(lambda: time.is_sleeping(RECONNECT_DELAY_MAX))
        delay = time.wake_next(RECONNECT_DELAY_MAX)
        if delay >= RECONNECT_DELAY:  # else the link is checking whether the peer refuses connections
            return delay


async def test_messages_arrive_in_order():
    async with linked() as (peer, transport, reports):
        await until(lambda: connected(reports))
        assert reports[0] == (Event.PEER_CONNECTED, {"peer": "b", "address": peer.address})
        transport.send([message(term) for term in range(1, 200)])
        transport.send([message(200)])
        await until(lambda: len(peer.terms) == 200)
        assert peer.terms == list(range(1, 201))


async def test_a_peer_whose_process_has_ended_is_unreachable():
    unreachable = []
    async with linked(unreachable=unreachable) as (peer, transport, reports):
        await until(lambda: connected(reports))
        assert unreachable == []
        await peer.stop()
        await until(lambda: unreachable)
        assert unreachable == ["b"]
        await peer.start()
        await arrives(transport, "b", peer, 7)
        await peer.stop()
        await until(lambda: unreachable == ["b", "b"])


async def test_a_peer_that_ends_the_stream_but_accepts_connections_is_reachable():
    unreachable = []
    async with linked(unreachable=unreachable) as (peer, _, reports):
        peer.refuses = True
        await until(lambda: connected(reports) >= 3)
        assert unreachable == []


async def test_no_peer_is_reported_unreachable_behind_a_proxy():
    unreachable = []
    async with linked(unreachable=unreachable, proxied=True) as (peer, _, reports):
        await until(lambda: connected(reports))
        await peer.stop()
        await until(lambda: disconnected(reports))
        await peer.start()
        await until(lambda: connected(reports) == 2)
        assert unreachable == []


async def test_a_message_without_a_connection_is_dropped():
    async with linked(started=False) as (peer, transport, reports):
        transport.send([Message("a", "b", 1, RequestVote(0, 0))])
        assert reports == []
        await peer.start()
        await arrives(transport, "b", peer, 2)
        assert 1 not in peer.terms


async def test_a_peer_is_connected_when_it_starts_later_and_when_it_restarts():
    time = ManualTime()
    async with linked(started=False, time=time) as (peer, transport, reports):
        assert await next_delay(time) == RECONNECT_DELAY
        await peer.start()
        await reconnected(time, transport, peer, 7)
        await peer.server.stop(0)
        await until(lambda: reports[-1][0] is Event.PEER_DISCONNECTED)
        assert reports[-1][1]["peer"] == "b"
        assert reports[-1][1]["reason"]
        await peer.start()
        await reconnected(time, transport, peer, 8)
        assert connected(reports) >= 2


async def test_the_reason_of_a_refusal_is_reported():
    async with linked() as (peer, _, reports):
        peer.refuses = True
        await until(lambda: any(event is Event.PEER_DISCONNECTED for event, _ in reports))
        reasons = [fields["reason"] for event, fields in reports if event is Event.PEER_DISCONNECTED]
        assert reasons[0] == "this is b, not c"


async def test_the_delay_grows_while_a_peer_refuses_each_stream():
    """Regression: another node behind the address filled the log with twenty lines per second."""
    time = ManualTime()
    async with linked(time=time) as (peer, transport, _):
        peer.refuses = True
        assert [await next_delay(time) for _ in range(6)] == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
        peer.refuses = False
        await reconnected(time, transport, peer, 1)


async def test_the_delay_is_short_again_after_a_stream_that_lasted():
    time = ManualTime()
    async with linked(time=time) as (peer, transport, _):
        peer.refuses = True
        assert [await next_delay(time) for _ in range(3)] == [0.2, 0.4, 0.8]
        peer.refuses = False
        await reconnected(time, transport, peer, 1)
        time.advance(RECONNECT_DELAY_MAX + 0.1)
        await peer.stop()
        assert await next_delay(time) == RECONNECT_DELAY


async def test_the_queue_of_a_peer_that_does_not_read_is_bounded(monkeypatch):
    """A paused peer: new messages are dropped, and those in the queue arrive when it resumes."""
    monkeypatch.setattr(transport_module, "QUEUE_BYTES_MAX", 20_000)
    async with linked() as (peer, transport, reports):
        peer.reads.clear()
        await until(lambda: connected(reports))
        for term in range(1, 501):
            transport.send([message(term, size=1000)])
        peer.reads.set()
        await arrives(transport, "b", peer, 1000)
        received = [term for term in peer.terms if term != 1000]
        assert 15 <= len(received) <= 21
        assert received == list(range(1, len(received) + 1))


async def test_a_batch_is_limited_in_bytes(monkeypatch):
    """No message exceeds gRPC's limit, however many are queued."""
    monkeypatch.setattr(transport_module, "BATCH_BYTES_MAX", 3_000)
    async with linked() as (peer, transport, reports):
        await until(lambda: connected(reports))
        transport.send([message(term, size=1000) for term in range(1, 51)])
        await until(lambda: len(peer.terms) == 50)
        assert max(peer.batches) == 3


# --- peers and non-members --------------------------------------------------------------------------------------------


async def test_links_follow_the_set_of_peers():
    async with peers(2) as ((b, c), transport, reports):
        transport.update_peers({"a": "127.0.0.1:1", "b": b.address})
        await arrives(transport, "b", b, 1)
        transport.update_peers({"b": b.address, "c": c.address})
        await arrives(transport, "c", c, 2)
        transport.update_peers({"c": c.address})
        await arrives(transport, "b", b, 3)
        await arrives(transport, "c", c, 4)
        assert connected(reports) == 2, "unchanged peers keep their connections, and former peers still get replies"


async def test_the_link_to_an_idle_non_member_is_dropped():
    time = ManualTime()
    async with peers(1, time) as ((b,), transport, reports):
        transport.update_peers({"b": b.address})
        await arrives(transport, "b", b, 1)
        transport.update_peers({})
        time.advance(59)
        await arrives(transport, "b", b, 2)
        assert disconnected(reports) == []
        time.advance(16)
        await until(lambda: disconnected(reports))
        assert disconnected(reports) == [{"peer": "b", "reason": "no message for 60 s"}]
        transport.send([message(3, recipient="b")])
        transport.add_remote("b", b.address)
        await arrives(transport, "b", b, 4)
        assert 3 not in b.terms


async def test_messages_go_to_the_new_address_of_a_peer():
    async with peers(2) as ((old, new), transport, reports):
        transport.update_peers({"b": old.address})
        await arrives(transport, "b", old, 1)
        transport.update_peers({"b": new.address})
        await arrives(transport, "b", new, 2)
        assert 2 not in old.terms
        assert disconnected(reports) == [{"peer": "b", "reason": f"address changed to {new.address}"}]


async def test_a_non_member_gets_replies_at_the_address_that_it_names():
    async with peers(2) as ((first, second), transport, _):
        transport.update_peers({})
        transport.add_remote("d", first.address)
        await arrives(transport, "d", first, 1)
        transport.update_peers({})  # does not affect non-members
        await arrives(transport, "d", first, 2)
        transport.add_remote("d", second.address)
        await arrives(transport, "d", second, 3)
        assert 3 not in first.terms


async def test_a_message_does_not_change_the_address_of_a_peer_or_of_the_node():
    async with peers(2) as ((b, impostor), transport, reports):
        transport.update_peers({"b": b.address})
        transport.add_remote("b", impostor.address)
        transport.add_remote("a", impostor.address)
        await arrives(transport, "b", b, 1)
        assert impostor.terms == []
        assert connected(reports) == 1


async def test_a_non_member_keeps_its_link_when_it_becomes_a_peer():
    async with peers(1) as ((d,), transport, reports):
        transport.add_remote("d", d.address)
        await arrives(transport, "d", d, 1)
        transport.update_peers({"d": d.address})
        assert disconnected(reports) == [], "the link is kept"
        transport.update_peers({})
        await arrives(transport, "d", d, 2)
        assert disconnected(reports) == [], "a former peer still gets replies"


async def test_the_newest_non_members_keep_their_links(monkeypatch):
    monkeypatch.setattr(transport_module, "NON_MEMBERS_MAX", 2)
    async with peers(3) as (non_members, transport, reports):
        for name, peer in zip("xyz", non_members, strict=True):
            transport.add_remote(name, peer.address)
            await arrives(transport, name, peer, 1)
        assert disconnected(reports) == [{"peer": "x", "reason": "replaced by a more recent non-member"}]
        for number in range(1000):
            transport.add_remote(f"non-member-{number}", "127.0.0.1:9")
        assert len(transport._links) == len(transport._runs) == 2


async def test_an_invalid_address_of_a_non_member_does_not_affect_other_links():
    """Regression: it ended all links, and with them the node."""
    time = ManualTime()
    async with peers(1, time) as ((b,), transport, reports):
        addresses = ["nonsense", "host:", "[::1:5", "\0:1"]
        for number, address in enumerate(addresses):
            transport.add_remote(f"non-member-{number}", address)
        await until(lambda: time.slept.count(RECONNECT_DELAY) == len(addresses))  # each attempt has failed
        transport.update_peers({"b": b.address})
        await arrives(transport, "b", b, 1)
        assert reports == [(Event.PEER_CONNECTED, {"peer": "b", "address": b.address})]


async def test_a_stopped_transport_opens_no_links():
    """A node may stop while its peers still send to it."""
    reports = []
    async with peers(1) as ((b,), _, _):
        transport = GrpcTransport("a", "127.0.0.1:1", lambda event, **_fields: reports.append(event))
        running = asyncio.create_task(transport.run())
        await asyncio.sleep(0)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        tasks = asyncio.all_tasks()
        transport.update_peers({"b": b.address})
        transport.add_remote("c", b.address)
        transport.send([message(1), message(1, recipient="c")])
        assert asyncio.all_tasks() == tasks
        assert b.terms == []
        assert reports == []
