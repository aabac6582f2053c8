"""Operations share requests and outcomes; each operation gets its own result."""

import asyncio

from raft_pkg.client import AsyncRaftClient
from raft_pkg.client.connection import _groups
from raft_pkg.client.operation import PendingOperation
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.requests import single_result, split_request
from tests.unit.client.conftest import ReplicatedState


def merged(outcomes):
    """One outcome for a batch whose outcomes differ only in their results."""
    first = outcomes[0]
    results = [single_result(outcome) for outcome in outcomes]
    return pb.Outcome(
        id=first.id,
        count=len(outcomes),
        code=first.code,
        results=results if any(results) else [],
        session_id=first.session_id,
    )


async def operations(*types_and_sequences):
    made = []
    for operation_type, sequence in types_and_sequences:
        operation = PendingOperation(
            operation_type, operation_type, None, b"", timeout=1, loop=asyncio.get_running_loop()
        )
        operation.sequence = sequence
        made.append(operation)
    return made


async def test_a_request_has_one_type_and_consecutive_sequence_numbers():
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
    groups = [[made.index(operation) for operation in group] for group in _groups(made)]
    assert groups == [[0, 2], [4], [5], [1, 6], [3], [7], [8]]


async def test_queued_operations_become_one_request_of_commands_and_one_of_queries(make_node):
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


async def test_each_operation_of_a_batch_gets_its_own_result(make_node):
    node = await make_node()
    state = ReplicatedState()
    state.serve(node)
    node.batch_script = lambda request: merged([node.respond(single) for single in split_request(request)])
    async with AsyncRaftClient(node.address) as client:
        lengths = await asyncio.gather(*(client.append("key", b"x" * n) for n in range(1, 5)))
        assert lengths == [1, 3, 6, 10]
        await asyncio.gather(*(client.put(f"k{n}", b"%d" % n) for n in range(4)))
        assert await asyncio.gather(*(client.get(f"k{n}") for n in range(4))) == [b"0", b"1", b"2", b"3"]


async def test_one_outcome_completes_every_operation_of_a_batch(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.put("first", b"")
        node.batch_script = lambda request: pb.Outcome(
            id=request.id, count=len(request.commands), code=pb.OUTCOME_CODE_OK, index=77
        )
        assert await asyncio.gather(*(client.put(f"k{i}", b"v") for i in range(200))) == [77] * 200


async def test_every_command_of_a_rejected_batch_is_sent_again(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.put("first", b"")
        received = []

        def reject_once(request):
            received.append((request.sequence, len(request.commands)))
            code = pb.OUTCOME_CODE_BUSY if len(received) == 1 else pb.OUTCOME_CODE_OK
            return pb.Outcome(id=request.id, count=len(request.commands), code=code)

        node.batch_script = reject_once
        await asyncio.gather(*(client.put(f"k{i}", b"v") for i in range(4)))
    assert received[0] == (2, 4)
    assert sorted(number for first, count in received[1:] for number in range(first, first + count)) == [2, 3, 4, 5]


async def test_a_cancelled_operation_does_not_shift_the_results_of_others(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.put("first", b"")
        received = asyncio.Event()
        proceed = asyncio.Event()

        async def respond_later(request):
            received.set()
            await proceed.wait()
            results = [kv.KvResult(length=n + 1).SerializeToString() for n in range(len(request.commands))]
            return pb.Outcome(id=request.id, count=len(results), code=pb.OUTCOME_CODE_OK, results=results)

        node.batch_script = respond_later
        appends = [asyncio.ensure_future(client.append("k", b"v")) for _ in range(4)]
        await received.wait()
        appends[1].cancel()
        await asyncio.sleep(0)
        proceed.set()
        assert await asyncio.gather(appends[0], appends[2], appends[3]) == [1, 3, 4]


async def test_an_outcome_with_too_large_a_count_is_accepted(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.put("first", b"")
        node.batch_script = lambda request: pb.Outcome(id=request.id, count=2**63, code=pb.OUTCOME_CODE_OK, index=5)
        assert await asyncio.gather(*(client.put(f"k{i}", b"v") for i in range(3))) == [5, 5, 5]


async def test_operations_without_a_result_stay_unanswered(make_node):
    """The node violates the protocol; operations without a result have an unknown outcome at their deadline."""
    node = await make_node()
    async with AsyncRaftClient(node.address, timeout=0.5) as client:
        await client.put("first", b"")
        result = kv.KvResult(length=3).SerializeToString()
        node.batch_script = lambda request: pb.Outcome(
            id=request.id, count=len(request.commands), code=pb.OUTCOME_CODE_OK, results=[result]
        )
        ended = await asyncio.gather(*(client.append(f"k{i}", b"v") for i in range(2)), return_exceptions=True)
    assert ended[0] == 3
    assert "may or may not have been applied" in str(ended[1])
