"""Redirects, broken streams and unresponsive leaders: which node operations are sent to."""

import asyncio
import contextlib

import grpc
import pytest

from raft_pkg.client import AsyncRaftClient, OutcomeUnknownError, dispatcher
from raft_pkg.client.dispatcher import SUSPECT_SECONDS, UNRESPONSIVE_SECONDS
from raft_pkg.client.locator import LeaderLocator
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc import raft_pb2 as pb
from tests.unit.client.conftest import wait_until

FOR_EVER = float("inf")


def break_stream(request):
    raise ConnectionResetError


async def test_follows_the_hint(make_node):
    follower, other, leader = [await make_node() for _ in range(3)]
    follower.respond_with(pb.OUTCOME_CODE_NOT_LEADER, leader_id="raft-2", leader_address=leader.address)
    async with AsyncRaftClient([follower.address, other.address, leader.address]) as client:
        await client.put("k", b"v")
        await client.put("k", b"v")
    assert [len(node.session_requests) for node in (follower, other, leader)] == [1, 0, 1]
    assert [len(node.requests) for node in (follower, other, leader)] == [0, 0, 2]


async def test_follows_a_hint_to_an_address_that_is_not_an_endpoint(make_node):
    follower, leader = await make_node(), await make_node()
    follower.respond_with(pb.OUTCOME_CODE_NOT_LEADER, leader_address=leader.address)
    async with AsyncRaftClient(follower.address) as client:
        await client.put("k", b"v")
    assert len(leader.requests) == 1


async def test_tries_the_other_endpoints_without_a_hint(make_node):
    follower, leader = await make_node(), await make_node()
    follower.respond_with(pb.OUTCOME_CODE_NOT_LEADER)
    async with AsyncRaftClient([follower.address, leader.address]) as client:
        await client.put("k", b"v")
    assert len(leader.requests) == 1


async def test_skips_unreachable_endpoints(make_node):
    leader = await make_node()
    async with AsyncRaftClient(["127.0.0.1:1", "no-such-name.invalid:6000", leader.address]) as client:
        await client.put("k", b"v")
    assert len(leader.requests) == 1


async def test_backs_off_between_nodes_that_name_each_other_as_leader(make_node, monkeypatch):
    back_offs = []
    back_off = LeaderLocator._back_off

    def record_back_off(locator):
        back_offs.append(back_off(locator))
        return back_offs[-1]

    monkeypatch.setattr(LeaderLocator, "_back_off", record_back_off)
    one, two = await make_node(), await make_node()
    one.respond_with(pb.OUTCOME_CODE_NOT_LEADER, leader_address=two.address)
    two.respond_with(pb.OUTCOME_CODE_NOT_LEADER, leader_address=one.address)
    async with AsyncRaftClient([one.address, two.address]) as client:
        write = asyncio.create_task(client.put("k", b"v"))
        await wait_until(lambda: len(one.session_requests) >= 5)
        rejections = len(one.session_requests) + len(two.session_requests)
        rounds = 1 + len(back_offs)
        two.respond_with(pb.OUTCOME_CODE_OK, index=3, session_id=1)
        assert await write == 3
    assert rejections <= 2 * rounds, "a node was asked twice in a round"
    assert all(seconds > 0 for seconds in back_offs)


async def test_probes_with_one_operation_while_no_leader_is_known(make_node):
    node = await make_node()
    node.respond_with(pb.OUTCOME_CODE_NOT_LEADER)
    async with AsyncRaftClient(node.address) as client:
        writes = asyncio.gather(*(client.put(f"k{i}", b"v") for i in range(100)))
        await wait_until(lambda: len(node.batch_sizes) >= 5)
        assert set(node.batch_sizes) == {1}
        node.respond_with(pb.OUTCOME_CODE_OK, index=1, session_id=1)
        await writes
    assert max(node.batch_sizes) >= 50


async def test_batches_operations_that_start_in_one_iteration_of_the_event_loop(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.put("first", b"")
        node.batch_sizes.clear()
        await asyncio.gather(*(client.put(f"k{i}", b"v") for i in range(256)))
    assert node.batch_sizes == [128, 128]


async def test_limits_the_bytes_of_a_batch(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.put("first", b"")
        node.batch_sizes.clear()
        await asyncio.gather(*(client.put(f"k{i}", bytes(1024 * 1024)) for i in range(20)))
    assert sum(node.batch_sizes) == 20
    assert max(node.batch_sizes) <= 2


async def test_a_write_on_a_broken_stream_is_sent_to_another_node_with_its_sequence_number(make_node):
    node, other = await make_node(), await make_node()
    node.script = break_stream
    async with AsyncRaftClient([node.address, other.address]) as client:
        assert await client.put("k", b"v") == 1
    assert (node.batches[-1].session_id, other.batches[-1].session_id) == (1, 1)
    assert [request.sequence for request in (*node.requests, *other.requests)] == [1, 1]


async def test_a_read_on_a_broken_stream_is_sent_to_another_node(make_node):
    node, other = await make_node(), await make_node()
    node.script = break_stream
    other.respond_with(pb.OUTCOME_CODE_OK, results=[kv.KvResult(found=True, value=b"v").SerializeToString()])
    async with AsyncRaftClient([node.address, other.address]) as client:
        assert await client.get("k") == b"v"


async def test_skips_a_server_that_is_no_raft_node(make_node):
    foreign_server = grpc.aio.server()
    port = foreign_server.add_insecure_port("127.0.0.1:0")
    await foreign_server.start()
    node = await make_node()
    async with AsyncRaftClient([f"127.0.0.1:{port}", node.address]) as client:
        await client.put("k", b"v")
    await foreign_server.stop(0)
    assert len(node.requests) == 1


async def test_finds_a_restarted_leader_again(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.put("k", b"v")
        await node.stop()
        later = asyncio.create_task(client.put("k", b"v"))
        await asyncio.sleep(0.2)
        assert not later.done()
        await node.start()
        assert await later == 1
    assert [request.sequence for request in node.requests] == [1, 2]


async def test_all_unanswered_operations_of_an_unresponsive_leader_are_sent_to_another_node(make_node, monkeypatch):
    monkeypatch.setattr(dispatcher, "UNRESPONSIVE_SECONDS", FOR_EVER)
    unresponsive, other = await make_node(), await make_node()
    async with AsyncRaftClient([unresponsive.address, other.address]) as client:
        await client.put("k", b"v")
        unresponsive.stop_responding()
        operations = asyncio.gather(*(client.put(f"w{i}", b"v") for i in range(3)), client.get("r"))
        await wait_until(lambda: len(unresponsive.requests) == 5)
        await asyncio.sleep(0.3)
        assert other.requests == []
        monkeypatch.setattr(dispatcher, "UNRESPONSIVE_SECONDS", 0.25)
        await wait_until(lambda: other.requests)
        monkeypatch.setattr(dispatcher, "UNRESPONSIVE_SECONDS", FOR_EVER)
        assert await operations == [1, 1, 1, None]
    assert sorted(request.sequence for request in other.requests) == [0, 2, 3, 4]
    assert {batch.session_id for batch in other.batches if batch.requests[-1].commands} == {1}


async def test_a_write_to_an_unresponsive_leader_that_then_stops_is_unknown(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.put("k", b"v")
        node.stop_responding()
        write = asyncio.create_task(client.put("w", b"v", timeout=UNRESPONSIVE_SECONDS + 1))
        await wait_until(lambda: len(node.requests) == 2)
        await node.stop()
        with pytest.raises(OutcomeUnknownError, match=r"without a response; 127\.0\.0\.1:.*; it may or may not"):
            await write


async def test_skips_a_paused_process(make_node):
    """The kernel completes the TCP connection of a paused process, which then never responds."""
    paused = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    host, port = paused.sockets[0].getsockname()
    node = await make_node()
    async with AsyncRaftClient([f"{host}:{port}", node.address]) as client:
        await client.put("k", b"v")
    paused.close()
    assert len(node.requests) == 1


async def test_resolves_addresses_at_every_connection(make_node, monkeypatch):
    first, second = await make_node(), await make_node()
    loop = asyncio.get_running_loop()
    look_up = loop.getaddrinfo
    current = first

    async def getaddrinfo(host, port, **options):
        assert (host, port) == ("raft-0.service-raft", 6000)
        return await look_up("127.0.0.1", current.port, **options)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    async with AsyncRaftClient("raft-0.service-raft:6000") as client:
        await client.put("k", b"v")
        current = second
        await first.stop()
        await client.put("k", b"v")
    assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_leaves_an_unresponsive_leader_even_if_every_operation_expires_sooner(make_node):
    unresponsive, other = await make_node(), await make_node()
    async with AsyncRaftClient([unresponsive.address, other.address]) as client:
        await client.put("k", b"v")
        unresponsive.stop_responding()
        timeout = UNRESPONSIVE_SECONDS / 5
        for _ in range(50):
            with contextlib.suppress(OutcomeUnknownError):
                await client.put("k", b"v", timeout=timeout)
            if other.requests:
                break
    assert len(unresponsive.requests) > 3
    assert other.requests


async def test_an_operation_that_expired_before_a_pause_does_not_count_against_the_leader(make_node):
    node, other = await make_node(), await make_node()
    node.respond_in_turn(pb.OUTCOME_CODE_OK, None)
    async with AsyncRaftClient([node.address, other.address]) as client:
        await client.put("k", b"v")
        with pytest.raises(OutcomeUnknownError):
            await client.put("k", b"v", timeout=0.1)
        await asyncio.sleep(UNRESPONSIVE_SECONDS + 0.1)
        node.delay_seconds = 0.1
        await client.get("k")
    assert other.requests == []


async def test_leaves_a_suspect_leader_early_for_a_node_that_leads(make_node, monkeypatch):
    monkeypatch.setattr(dispatcher, "UNRESPONSIVE_SECONDS", FOR_EVER)
    suspect, follower, new = [await make_node() for _ in range(3)]
    follower.status = pb.StatusResponse(role="follower", leader_id="suspect")
    async with AsyncRaftClient([suspect.address, follower.address, new.address]) as client:
        await client.put("k", b"v")
        suspect.stop_responding()
        write = asyncio.create_task(client.put("w", b"v"))
        await wait_until(lambda: len(suspect.requests) == 2)
        new.status = pb.StatusResponse(role="leader")
        assert await write == 1
    assert [request.sequence for request in new.requests] == [2]
    assert follower.requests == []


async def test_keeps_a_slow_leader_while_no_other_node_leads(make_node):
    slow, follower = await make_node(), await make_node()
    follower.status = pb.StatusResponse(role="follower")
    async with AsyncRaftClient([slow.address, follower.address]) as client:
        await client.put("k", b"v")
        slow.delay_seconds = 4 * SUSPECT_SECONDS
        await client.put("k", b"v")
        slow.delay_seconds = 0.0
        await client.put("k", b"v")
    assert [request.sequence for request in slow.requests] == [1, 2, 3]


async def test_any_node_reads_accept_a_node_that_knows_a_leader(make_node, monkeypatch):
    monkeypatch.setattr(dispatcher, "UNRESPONSIVE_SECONDS", FOR_EVER)
    nodes = [await make_node() for _ in range(2)]
    for node in nodes:
        node.status = pb.StatusResponse(role="follower", leader_id="raft-9")
    async with AsyncRaftClient([node.address for node in nodes]) as client:
        await client.get("k", any_node=True)
        (suspect,) = [node for node in nodes if node.requests]
        suspect.stop_responding()
        assert await client.get("k", any_node=True) is None
