"""Operations travel in rows, and their outcomes come in rows: each gets what is its own."""

import asyncio

from raft_pkg.client import AsyncRaftClient
from raft_pkg.client.connection import _groups
from raft_pkg.client.operation import PendingOperation
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.requests import single_result, split_request
from tests.unit.client.conftest import ReplicatedState


def merged(outcomes):
    """Outcomes of one row that are all the same but for their results."""
    first = outcomes[0]
    results = [single_result(outcome) for outcome in outcomes]
    return pb.Outcome(
        id=first.id,
        count=len(outcomes),
        code=first.code,
        results=results if any(results) else [],
        session_id=first.session_id,
    )


async def operations(*kinds_and_sequences):
    made = []
    for kind, sequence in kinds_and_sequences:
        operation = PendingOperation(kind, kind, None, b"", timeout=1, loop=asyncio.get_running_loop())
        operation.sequence = sequence
        made.append(operation)
    return made


async def test_a_row_has_one_kind_and_consecutive_numbers():
    made = await operations(
        ("command", 1),
        ("query", 0),
        ("command", 2),
        ("any_node_query", 0),
        ("command", 4),
        ("command", 3),
        ("query", 0),
        ("open_session", 0),
        ("open_session", 0),
    )
    rows = [[made.index(operation) for operation in row] for row in _groups(made)]
    assert rows == [[0, 2], [4], [5], [1, 6], [3], [7], [8]]


async def test_what_waits_together_goes_as_one_row_of_commands_and_one_of_queries(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.put("first", b"")
        node.batches.clear()
        await asyncio.gather(
            *(client.put(f"k{i}", b"v") for i in range(3)),
            *(client.get(f"k{i}") for i in range(3)),
            *(client.append(f"k{i}", b"v") for i in range(3)),
        )
    (batch,) = node.batches
    assert [(len(r.commands), len(r.queries), r.sequence) for r in batch.requests] == [(6, 0, 2), (0, 3, 0)]
    assert batch.requests[1].id == batch.requests[0].id + 6


async def test_each_operation_of_a_row_gets_its_own_result(make_node):
    node = await make_node()
    state = ReplicatedState()
    state.serve(node)
    node.row = lambda request: merged([node.answer(single) for single in split_request(request)])
    async with AsyncRaftClient(node.address) as client:
        lengths = await asyncio.gather(*(client.append("key", b"x" * n) for n in range(1, 5)))
        assert lengths == [1, 3, 6, 10]
        await asyncio.gather(*(client.put(f"k{n}", b"%d" % n) for n in range(4)))
        assert await asyncio.gather(*(client.get(f"k{n}") for n in range(4))) == [b"0", b"1", b"2", b"3"]


async def test_one_outcome_ends_every_operation_of_its_row(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.put("first", b"")
        node.row = lambda request: pb.Outcome(
            id=request.id, count=len(request.commands), code=pb.OUTCOME_CODE_OK, index=77
        )
        assert await asyncio.gather(*(client.put(f"k{i}", b"v") for i in range(200))) == [77] * 200


async def test_a_row_that_is_refused_is_sent_again_whole(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.put("first", b"")
        asked = []

        def row(request):
            asked.append((request.sequence, len(request.commands)))
            code = pb.OUTCOME_CODE_BUSY if len(asked) == 1 else pb.OUTCOME_CODE_OK
            return pb.Outcome(id=request.id, count=len(request.commands), code=code)

        node.row = row
        await asyncio.gather(*(client.put(f"k{i}", b"v") for i in range(4)))
    assert asked[0] == (2, 4)
    assert sorted(number for first, count in asked[1:] for number in range(first, first + count)) == [2, 3, 4, 5]


async def test_who_waits_no_longer_does_not_shift_the_results_of_the_others(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.put("first", b"")
        asked = asyncio.Event()
        go_on = asyncio.Event()

        async def answer_later(request):
            asked.set()
            await go_on.wait()
            results = [kv.KvResult(length=n + 1).SerializeToString() for n in range(len(request.commands))]
            return pb.Outcome(id=request.id, count=len(results), code=pb.OUTCOME_CODE_OK, results=results)

        node.row = answer_later
        appends = [asyncio.ensure_future(client.append("k", b"v")) for _ in range(4)]
        await asked.wait()
        appends[1].cancel()
        await asyncio.sleep(0)
        go_on.set()
        assert await asyncio.gather(appends[0], appends[2], appends[3]) == [1, 3, 4]


async def test_an_outcome_for_more_than_was_asked_harms_nobody(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.put("first", b"")
        node.row = lambda request: pb.Outcome(id=request.id, count=2**63, code=pb.OUTCOME_CODE_OK, index=5)
        assert await asyncio.gather(*(client.put(f"k{i}", b"v") for i in range(3))) == [5, 5, 5]


async def test_where_results_are_missing_there_is_no_answer(make_node):
    """The node breaks the protocol: what it has not answered has an unknown outcome, at its deadline."""
    node = await make_node()
    async with AsyncRaftClient(node.address, timeout=0.5) as client:
        await client.put("first", b"")
        result = kv.KvResult(length=3).SerializeToString()
        node.row = lambda request: pb.Outcome(
            id=request.id, count=len(request.commands), code=pb.OUTCOME_CODE_OK, results=[result]
        )
        ended = await asyncio.gather(*(client.append(f"k{i}", b"v") for i in range(2)), return_exceptions=True)
    assert ended[0] == 3
    assert "may or may not have been applied" in str(ended[1])
