"""Dissertation §6.4: reads that any node executes."""

import asyncio

import pytest

from raft_pkg.cli import main
from raft_pkg.client import AsyncRaftClient, OperationFailedError, RaftClient, dispatcher
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc import raft_pb2 as pb
from tests.unit.client.conftest import wait_until


async def make_nodes(make_node, count=3):
    nodes = [await make_node() for _ in range(count)]
    for number, node in enumerate(nodes):
        result = kv.KvResult(found=True, value=b"%d" % number).SerializeToString()
        node.respond_with(pb.OUTCOME_CODE_OK, results=[result])
    return nodes


async def test_chooses_a_random_node(make_node):
    nodes = await make_nodes(make_node)
    answered = set()
    for _ in range(40):
        async with AsyncRaftClient([node.address for node in nodes]) as client:
            answered.add(await client.get("k", any_node=True))
    assert answered == {b"0", b"1", b"2"}
    assert all(request.any_node for node in nodes for request in node.requests)


async def test_only_any_node_reads_are_marked_as_such(make_node):
    (node,) = await make_nodes(make_node, 1)
    async with AsyncRaftClient(node.address) as client:
        await client.get("k")
        await client.query(b"q")
        await client.query(b"q", any_node=True)
    assert [request.any_node for request in node.requests] == [False, False, True]


@pytest.mark.parametrize("code", [pb.OUTCOME_CODE_NOT_LEADER, pb.OUTCOME_CODE_UNAVAILABLE])
async def test_skips_a_node_without_a_leader_and_ignores_its_hint(make_node, code):
    nodes, leader = await make_nodes(make_node, 2), await make_node()
    nodes[0].respond_with(code, leader_address=leader.address)
    for _ in range(10):
        async with AsyncRaftClient([node.address for node in nodes]) as client:
            assert await client.get("k", any_node=True) == b"1"
    assert nodes[0].requests
    assert leader.requests == []


async def test_leaves_a_stopped_node(make_node):
    nodes = await make_nodes(make_node)
    async with AsyncRaftClient([node.address for node in nodes]) as client:
        for _ in nodes:
            number = int(await client.get("k", any_node=True))
            await nodes[number].stop()
    assert [len(node.requests) for node in nodes] == [1, 1, 1]


async def test_leaves_an_unresponsive_node(make_node, monkeypatch):
    monkeypatch.setattr(dispatcher, "UNRESPONSIVE_SECONDS", float("inf"))
    nodes = await make_nodes(make_node)
    async with AsyncRaftClient([node.address for node in nodes]) as client:
        number = int(await client.get("k", any_node=True))
        nodes[number].stop_responding()
        read = asyncio.create_task(client.get("k", any_node=True))
        await wait_until(lambda: len(nodes[number].requests) == 2)
        assert sum(len(node.requests) for node in nodes) == 2
        monkeypatch.setattr(dispatcher, "UNRESPONSIVE_SECONDS", 0.25)
        assert int(await read) != number


async def test_commands_and_other_reads_go_to_the_leader(make_node):
    follower, leader = await make_nodes(make_node, 2)
    read = follower.script
    follower.script = lambda request: (
        read(request) if request.any_node else pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_NOT_LEADER)
    )
    follower.session_script = lambda request: pb.Outcome(
        id=request.id, code=pb.OUTCOME_CODE_NOT_LEADER, leader_address=leader.address
    )
    async with AsyncRaftClient(follower.address) as client:
        assert await client.get("k", any_node=True) == b"0"
        await client.put("k", b"")
        assert await client.get("k", any_node=True) == b"0"
        assert await client.get("k") == b"1"


async def test_closing_the_client_ends_any_node_reads(make_node):
    (node,) = await make_nodes(make_node, 1)
    node.stop_responding()
    client = AsyncRaftClient(node.address)
    read = asyncio.create_task(client.get("k", any_node=True))
    await node.received.wait()
    await client.close()
    with pytest.raises(OperationFailedError, match="client was closed"):
        await read


async def test_the_synchronous_client_has_the_same_methods(make_node):
    (node,) = await make_nodes(make_node, 1)

    def work():
        with RaftClient(node.address) as client:
            return client.get("k", any_node=True), client.command(b"c"), client.query(b"q", any_node=True)

    value, *results = await asyncio.to_thread(work)
    assert value == b"0"
    assert [kv.KvResult.FromString(result).value for result in results] == [b"0", b"0"]
    assert [(list(request.commands), list(request.queries), request.any_node) for request in node.requests][1:] == [
        ([b"c"], [], False),
        ([], [b"q"], True),
    ]


async def test_raftctl_get_any_node(make_node, capsys):
    nodes = await make_nodes(make_node, 1)
    with pytest.raises(SystemExit) as end:
        await asyncio.to_thread(main, ["get", "k", "--any-node", "--endpoints", nodes[0].address])
    assert (end.value.code, capsys.readouterr().out) == (0, "0\n")
    assert [request.any_node for request in nodes[0].requests] == [True]
