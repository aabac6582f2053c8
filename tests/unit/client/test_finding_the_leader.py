"""Redirects, broken streams, silent leaders: where operations go."""

import asyncio
import contextlib
import time

import grpc
import pytest

from raft_pkg.client import AsyncRaftClient, OutcomeUnknownError
from raft_pkg.client.channel import CONNECT_TIMEOUT_SECONDS
from raft_pkg.client.dispatcher import SUSPECT_SECONDS, UNRESPONSIVE_SECONDS
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc import raft_pb2 as pb


def break_stream(request):
    raise ConnectionResetError


async def test_follows_the_hint(make_node):
    follower, other, leader = [await make_node() for _ in range(3)]
    follower.says(pb.OUTCOME_CODE_NOT_LEADER, leader_id="raft-2", leader_address=leader.address)
    async with AsyncRaftClient([follower.address, other.address, leader.address]) as client:
        await client.put("k", b"v")
        await client.put("k", b"v")
    assert (len(follower.openings), len(other.openings), len(leader.openings)) == (1, 0, 1)
    assert (len(follower.requests), len(other.requests), len(leader.requests)) == (0, 0, 2)


async def test_follows_a_hint_to_an_address_that_is_not_among_its_endpoints(make_node):
    follower, leader = await make_node(), await make_node()
    follower.says(pb.OUTCOME_CODE_NOT_LEADER, leader_address=leader.address)
    async with AsyncRaftClient(follower.address) as client:
        await client.put("k", b"v")
    assert len(leader.requests) == 1


async def test_without_a_hint_tries_the_others(make_node):
    follower, leader = await make_node(), await make_node()
    follower.says(pb.OUTCOME_CODE_NOT_LEADER)
    async with AsyncRaftClient([follower.address, leader.address]) as client:
        await client.put("k", b"v")
    assert len(leader.requests) == 1


async def test_passes_over_nodes_that_cannot_be_reached(make_node):
    leader = await make_node()
    async with AsyncRaftClient(["127.0.0.1:1", "no-such-name.invalid:6000", leader.address]) as client:
        await client.put("k", b"v")


async def test_nodes_that_point_at_each_other_are_asked_with_back_off(make_node):
    one, two = await make_node(), await make_node()
    one.says(pb.OUTCOME_CODE_NOT_LEADER, leader_address=two.address)
    two.says(pb.OUTCOME_CODE_NOT_LEADER, leader_address=one.address)
    async with AsyncRaftClient([one.address, two.address]) as client:
        write = asyncio.create_task(client.put("k", b"v"))
        await asyncio.sleep(0.5)
        asked = len(one.openings) + len(two.openings)
        two.says(pb.OUTCOME_CODE_OK, index=3, session_id=1)
        assert await write == 3
    assert 4 <= asked <= 60


async def test_while_no_leader_is_known_one_operation_asks_for_all(make_node):
    node = await make_node()
    node.says(pb.OUTCOME_CODE_NOT_LEADER)
    async with AsyncRaftClient(node.address) as client:
        writes = asyncio.gather(*(client.put(f"k{i}", b"v") for i in range(100)))
        await asyncio.sleep(0.2)
        assert set(node.batch_sizes) == {1}
        node.says(pb.OUTCOME_CODE_OK, index=1, session_id=1)
        await writes
    assert max(node.batch_sizes) >= 50


async def test_operations_of_one_loop_turn_travel_together(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.put("first", b"")
        node.batch_sizes.clear()
        await asyncio.gather(*(client.put(f"k{i}", b"v") for i in range(256)))
    assert node.batch_sizes == [128, 128]


async def test_batches_are_bounded_in_bytes(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.put("first", b"")
        node.batch_sizes.clear()
        await asyncio.gather(*(client.put(f"k{i}", bytes(1024 * 1024)) for i in range(20)))
    assert sum(node.batch_sizes) == 20
    assert max(node.batch_sizes) <= 2


async def test_a_write_on_a_stream_that_broke_is_made_elsewhere_under_its_number(make_node):
    node, other = await make_node(), await make_node()
    node.script = break_stream
    async with AsyncRaftClient([node.address, other.address]) as client:
        assert await client.put("k", b"v") == 1
    assert (node.batches[-1].session_id, other.batches[-1].session_id) == (1, 1)
    assert [request.sequence for request in (*node.requests, *other.requests)] == [1, 1]


async def test_a_read_on_a_stream_that_broke_is_made_elsewhere(make_node):
    node, other = await make_node(), await make_node()
    node.script = break_stream
    other.says(pb.OUTCOME_CODE_OK, results=[kv.KvResult(found=True, value=b"v").SerializeToString()])
    async with AsyncRaftClient([node.address, other.address]) as client:
        assert await client.get("k") == b"v"


async def test_a_server_that_is_no_raft_node_is_passed_over(make_node):
    non_member = grpc.aio.server()
    port = non_member.add_insecure_port("127.0.0.1:0")
    await non_member.start()
    node = await make_node()
    async with AsyncRaftClient([f"127.0.0.1:{port}", node.address]) as client:
        await client.put("k", b"v")
    await non_member.stop(0)


async def test_a_leader_that_was_restarted_is_found_again(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.put("k", b"v")
        await node.stop()
        later = asyncio.create_task(client.put("k", b"v"))
        await asyncio.sleep(0.2)
        await node.start()
        assert await later == 1


async def test_a_silent_leader_is_left_and_another_asked_for_all_that_it_did_not_answer(make_node):
    silent, other = await make_node(), await make_node()
    async with AsyncRaftClient([silent.address, other.address]) as client:
        await client.put("k", b"v")
        silent.never_answers()
        started = time.monotonic()
        writes = asyncio.gather(*(client.put(f"w{i}", b"v") for i in range(3)))
        assert await client.get("r") is None
        assert await writes == [1, 1, 1]
        waited = time.monotonic() - started
    assert UNRESPONSIVE_SECONDS <= waited < UNRESPONSIVE_SECONDS + 1
    assert sorted(request.sequence for request in other.requests) == [0, 2, 3, 4]
    assert {batch.session_id for batch in other.batches if batch.requests[-1].commands} == {1}


async def test_nobody_is_there_to_take_what_was_written_to_a_silent_leader(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.put("k", b"v")
        node.never_answers()
        write = asyncio.create_task(client.put("w", b"v", timeout=UNRESPONSIVE_SECONDS + 1))
        await node.asked.wait()
        await asyncio.sleep(0.1)
        await node.stop()
        with pytest.raises(OutcomeUnknownError, match=r"without a response; 127\.0\.0\.1:.*; it may or may not"):
            await write


async def test_a_node_that_takes_connections_but_does_not_serve_is_passed_over(make_node):
    """A paused process: the kernel completes the TCP connection, and nothing ever comes."""
    mute = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    host, port = mute.sockets[0].getsockname()
    node = await make_node()
    started = time.monotonic()
    async with AsyncRaftClient([f"{host}:{port}", node.address]) as client:
        await client.put("k", b"v")
    mute.close()
    assert time.monotonic() - started < CONNECT_TIMEOUT_SECONDS + 1


async def test_addresses_are_looked_up_afresh_at_every_connection(make_node, monkeypatch):
    first, second = await make_node(), await make_node()
    loop = asyncio.get_running_loop()
    look_up = loop.getaddrinfo
    now = first

    async def getaddrinfo(host, port, **options):
        assert (host, port) == ("raft-0.service-raft", 6000)
        return await look_up("127.0.0.1", now.port, **options)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    async with AsyncRaftClient("raft-0.service-raft:6000") as client:
        await client.put("k", b"v")
        now = second
        await first.stop()
        await asyncio.sleep(0.1)
        await client.put("k", b"v")
    assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_a_silent_leader_is_left_even_when_every_operation_gives_up_sooner(make_node):
    silent, other = await make_node(), await make_node()
    async with AsyncRaftClient([silent.address, other.address]) as client:
        await client.put("k", b"v")
        silent.never_answers()
        started = time.monotonic()
        while not other.requests:
            assert time.monotonic() < started + UNRESPONSIVE_SECONDS + 3, "nobody asked the other node"
            with contextlib.suppress(OutcomeUnknownError):
                await client.put("k", b"v", timeout=0.2)


async def test_an_operation_that_gave_up_long_ago_says_nothing_about_the_leader(make_node):
    node, other = await make_node(), await make_node()
    node.says_one_by_one(pb.OUTCOME_CODE_OK, None)
    async with AsyncRaftClient([node.address, other.address]) as client:
        await client.put("k", b"v")
        with pytest.raises(OutcomeUnknownError):
            await client.put("k", b"v", timeout=0.1)
        await asyncio.sleep(UNRESPONSIVE_SECONDS + 0.1)
        node.delay_seconds = 0.1
        await client.get("k")
    assert other.requests == []


async def test_a_silent_leader_is_left_early_for_one_that_says_that_it_leads(make_node, monkeypatch):
    monkeypatch.setattr("raft_pkg.client.dispatcher.UNRESPONSIVE_SECONDS", 60.0)
    silent, follower, new = [await make_node() for _ in range(3)]
    follower.status = pb.StatusResponse(role="follower", leader_id="silent")
    async with AsyncRaftClient([silent.address, follower.address, new.address]) as client:
        await client.put("k", b"v")
        silent.never_answers()
        write = asyncio.create_task(client.put("w", b"v"))
        await silent.asked.wait()
        new.status = pb.StatusResponse(role="leader")
        assert await write == 1
    assert [request.sequence for request in new.requests] == [2]
    assert follower.requests == []


async def test_a_slow_leader_is_kept_while_nobody_else_leads(make_node):
    slow, follower = await make_node(), await make_node()
    follower.status = pb.StatusResponse(role="follower")
    async with AsyncRaftClient([slow.address, follower.address]) as client:
        await client.put("k", b"v")
        slow.delay_seconds = 4 * SUSPECT_SECONDS
        await client.put("k", b"v")
        slow.delay_seconds = 0.0
        await client.put("k", b"v")
    assert [request.sequence for request in slow.requests] == [1, 2, 3]


async def test_any_node_that_knows_of_a_leader_will_do_for_reads_of_any_node(make_node, monkeypatch):
    monkeypatch.setattr("raft_pkg.client.dispatcher.UNRESPONSIVE_SECONDS", 60.0)
    nodes = [await make_node() for _ in range(2)]
    for node in nodes:
        node.status = pb.StatusResponse(role="follower", leader_id="elsewhere")
    async with AsyncRaftClient([node.address for node in nodes]) as client:
        await client.get("k", any_node=True)
        (silent,) = [node for node in nodes if node.requests]
        silent.never_answers()
        assert await client.get("k", any_node=True) is None
