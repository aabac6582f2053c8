"""§6.4 of the dissertation: reads that any node may answer."""

import asyncio

import pytest

from raft_pkg.cli import main
from raft_pkg.client import AsyncRaftClient, OperationFailedError, RaftClient
from raft_pkg.client.dispatcher import UNRESPONSIVE_SECONDS
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc import raft_pb2 as pb


async def make_nodes(make_node, count=3):
    nodes = [await make_node() for _ in range(count)]
    for number, node in enumerate(nodes):
        result = kv.KvResult(found=True, value=b"%d" % number).SerializeToString()
        node.says(pb.OUTCOME_CODE_OK, results=[result])
    return nodes


async def test_a_node_chosen_by_chance_answers(make_node):
    nodes = await make_nodes(make_node)
    answered = set()
    for _ in range(40):
        async with AsyncRaftClient([node.address for node in nodes]) as client:
            answered.add(await client.get("k", any_node=True))
    assert answered == {b"0", b"1", b"2"}
    assert all(request.any_node for node in nodes for request in node.requests)


async def test_a_read_for_the_leader_does_not_say_so(make_node):
    (node,) = await make_nodes(make_node, 1)
    async with AsyncRaftClient(node.address) as client:
        await client.get("k")
        await client.query(b"q")
        await client.query(b"q", any_node=True)
    assert [request.any_node for request in node.requests] == [False, False, True]


@pytest.mark.parametrize("code", [pb.OUTCOME_CODE_NOT_LEADER, pb.OUTCOME_CODE_UNAVAILABLE])
async def test_a_node_that_cannot_answer_is_passed_over_and_its_hint_not_followed(make_node, code):
    nodes, leader = await make_nodes(make_node, 2), await make_node()
    nodes[0].says(code, leader_address=leader.address)
    for _ in range(10):
        async with AsyncRaftClient([node.address for node in nodes]) as client:
            assert await client.get("k", any_node=True) == b"1"
    assert nodes[0].requests
    assert leader.requests == []


async def test_a_node_that_is_gone_is_left_for_another(make_node):
    nodes = await make_nodes(make_node)
    async with AsyncRaftClient([node.address for node in nodes]) as client:
        for _ in nodes:
            number = int(await client.get("k", any_node=True))
            await nodes[number].stop()
    assert [len(node.requests) for node in nodes] == [1, 1, 1]


async def test_a_node_that_falls_silent_is_left_for_another(make_node):
    nodes = await make_nodes(make_node)
    async with AsyncRaftClient([node.address for node in nodes]) as client:
        number = int(await client.get("k", any_node=True))
        nodes[number].never_answers()
        started = asyncio.get_running_loop().time()
        assert int(await client.get("k", any_node=True)) != number
    assert asyncio.get_running_loop().time() - started >= UNRESPONSIVE_SECONDS


async def test_commands_and_other_reads_go_to_the_leader_all_the_same(make_node):
    follower, leader = await make_nodes(make_node, 2)
    read = follower.script
    follower.script = lambda request: (
        read(request) if request.any_node else pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_NOT_LEADER)
    )
    follower.opening = lambda request: pb.Outcome(
        id=request.id, code=pb.OUTCOME_CODE_NOT_LEADER, leader_address=leader.address
    )
    async with AsyncRaftClient(follower.address) as client:
        assert await client.get("k", any_node=True) == b"0"
        await client.put("k", b"")
        assert await client.get("k", any_node=True) == b"0"
        assert await client.get("k") == b"1"


async def test_closing_ends_these_reads_too(make_node):
    (node,) = await make_nodes(make_node, 1)
    node.never_answers()
    client = AsyncRaftClient(node.address)
    read = asyncio.create_task(client.get("k", any_node=True))
    await node.asked.wait()
    await client.close()
    with pytest.raises(OperationFailedError, match="client was closed"):
        await read


async def test_the_synchronous_client_has_the_same_calls(make_node):
    (node,) = await make_nodes(make_node, 1)

    def work():
        with RaftClient(node.address) as client:
            return client.get("k", any_node=True), client.command(b"c"), client.query(b"q", any_node=True)

    value, *answers = await asyncio.to_thread(work)
    assert value == b"0"
    assert [kv.KvResult.FromString(answer).value for answer in answers] == [b"0", b"0"]
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
