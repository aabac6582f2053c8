"""What becomes of one operation, whatever the node answers to it."""

import asyncio

import pytest

from raft_pkg.client import (
    AsyncRaftClient,
    InvalidOperationError,
    OperationFailedError,
    OutcomeUnknownError,
    locator,
    retry,
)
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc import raft_pb2 as pb
from tests.unit.client.conftest import until


async def test_results_of_each_operation(make_node):
    node = await make_node()
    results = {
        "put": kv.KvResult(),
        "delete": kv.KvResult(found=True),
        "compare_and_set": kv.KvResult(found=False, value=b"other"),
        "append": kv.KvResult(length=7),
        "get": kv.KvResult(found=True, value=b"value"),
    }

    def answer(request):
        name = kv.KvCommand.FromString(request.commands[0]).WhichOneof("body") if request.commands else "get"
        return pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_OK, index=9, results=[results[name].SerializeToString()])

    node.script = answer
    async with AsyncRaftClient(node.address) as client:
        assert await client.put("k", b"v") == 9
        assert await client.get("k") == b"value"
        assert await client.delete("k") is True
        outcome = await client.compare_and_set("k", None, "new")
        assert (bool(outcome), outcome.current, outcome.index) == (False, b"other", 9)
        assert await client.append("k", "é") == 7
    commands = [kv.KvCommand.FromString(r.commands[0]) for r in node.requests if r.commands]
    assert not commands[2].compare_and_set.HasField("expected")
    assert commands[3].append.value == "é".encode()


async def test_absent_key_reads_as_none_and_empty_value_as_empty(make_node):
    node = await make_node()
    node.says(pb.OUTCOME_CODE_OK, results=[kv.KvResult(found=False).SerializeToString()])
    async with AsyncRaftClient(node.address) as client:
        assert await client.get("k") is None
        node.says(pb.OUTCOME_CODE_OK, results=[kv.KvResult(found=True).SerializeToString()])
        assert await client.get("k") == b""


@pytest.mark.parametrize("code", [pb.OUTCOME_CODE_BUSY, pb.OUTCOME_CODE_UNAVAILABLE, pb.OUTCOME_CODE_NOT_LEADER])
async def test_what_surely_did_not_happen_is_tried_again(make_node, code):
    node = await make_node()
    node.says_one_by_one(code, code)
    async with AsyncRaftClient(node.address) as client:
        await client.put("k", b"v")
    assert len(node.requests) == 3


@pytest.mark.parametrize("code", [pb.OUTCOME_CODE_UNKNOWN, 99])
async def test_a_command_of_unknown_outcome_is_sent_again_under_its_number(make_node, code):
    """99: an outcome of a later version."""
    node = await make_node()
    node.says_one_by_one(code, code)
    async with AsyncRaftClient(node.address) as client:
        await client.put("k", b"v")
    assert [request.sequence for request in node.requests] == [1, 1, 1]


async def test_a_command_whose_outcome_stays_unknown_ends_so_at_its_deadline(make_node):
    node = await make_node()
    node.script = lambda request: pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_UNKNOWN)
    async with AsyncRaftClient(node.address) as client:
        with pytest.raises(OutcomeUnknownError, match=r"put of key 'k': its deadline of 0.2 s .* may or may not"):
            await client.put("k", b"v", timeout=0.2)
    assert len(node.requests) > 1


@pytest.mark.parametrize("code", [pb.OUTCOME_CODE_BUSY, pb.OUTCOME_CODE_NOT_LEADER, pb.OUTCOME_CODE_UNAVAILABLE])
async def test_a_command_that_was_only_refused_has_failed_at_its_deadline(make_node, monkeypatch, code):
    """Asked once, lest the deadline come between a question and its answer: then nobody knew."""
    for name in ("BACK_OFF_FIRST_SECONDS", "BACK_OFF_MAX_SECONDS"):
        monkeypatch.setattr(locator, name, 10)
        monkeypatch.setattr(retry, name, 10)
    node = await make_node()
    node.script = lambda request: pb.Outcome(id=request.id, code=code)
    async with AsyncRaftClient(node.address) as client:
        with pytest.raises(OperationFailedError, match=r"put of key 'k': its deadline of 0.2 s"):
            await client.put("k", b"v", timeout=0.2)
    assert node.requests


async def test_a_refusal_does_not_undo_an_earlier_sending(make_node):
    node = await make_node()
    codes = iter([pb.OUTCOME_CODE_UNKNOWN])
    node.script = lambda request: pb.Outcome(id=request.id, code=next(codes, pb.OUTCOME_CODE_BUSY))
    async with AsyncRaftClient(node.address) as client:
        with pytest.raises(OutcomeUnknownError):
            await client.put("k", b"v", timeout=0.2)


async def test_a_busy_node_is_asked_less_and_less(make_node):
    node = await make_node()
    node.script = lambda request: pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_BUSY)
    async with AsyncRaftClient(node.address) as client:
        with pytest.raises(OperationFailedError):
            await client.put("k", b"v", timeout=0.5)
    assert 3 <= len(node.requests) <= 12


async def test_a_read_of_unknown_outcome_is_tried_again(make_node):
    node = await make_node()
    node.says_one_by_one(pb.OUTCOME_CODE_UNKNOWN)
    async with AsyncRaftClient(node.address) as client:
        assert await client.get("k") is None
    assert len(node.requests) == 2


async def test_invalid_is_final_and_carries_the_nodes_words(make_node):
    node = await make_node()
    node.script = lambda request: pb.Outcome(
        id=request.id, code=pb.OUTCOME_CODE_INVALID, message="the sum would be too large"
    )
    async with AsyncRaftClient(node.address) as client:
        with pytest.raises(InvalidOperationError, match="append of key 'k': the sum would be too large"):
            await client.append("k", b"v")
    assert len(node.requests) == 1


async def test_a_command_that_the_state_machine_refused_is_invalid(make_node):
    node = await make_node()
    result = kv.KvResult(error="too large").SerializeToString()
    node.script = lambda request: pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_OK, results=[result])
    async with AsyncRaftClient(node.address) as client:
        for operation in (client.put("k", b""), client.append("k", b""), client.get("k"), client.delete("k")):
            with pytest.raises(InvalidOperationError, match="too large"):
                await operation


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("", b"", "1 to 1024 bytes"),
        ("k" * 1025, b"", "1025 bytes"),
        ("é" * 513, b"", "1026 bytes"),
        ("k", b"v" * (1024 * 1024 + 1), "1048577 bytes for key 'k'"),
    ],
)
async def test_limits_are_checked_before_anything_is_sent(key, value, named):
    async with AsyncRaftClient("127.0.0.1:1") as client:
        with pytest.raises(InvalidOperationError, match=named):
            await client.put(key, value)


async def test_a_write_without_an_answer_is_unknown_at_its_deadline(make_node):
    node = await make_node()
    node.script = lambda _request: None
    async with AsyncRaftClient(node.address) as client:
        with pytest.raises(OutcomeUnknownError, match="may or may not have been applied"):
            await client.put("k", b"v", timeout=0.2)
    assert len(node.requests) == 1


async def test_a_read_without_an_answer_has_failed_at_its_deadline(make_node):
    node = await make_node()
    node.script = lambda _request: None
    async with AsyncRaftClient(node.address) as client:
        with pytest.raises(OperationFailedError, match="get of key 'k': its deadline"):
            await client.get("k", timeout=0.2)


async def test_what_was_never_sent_has_failed_at_its_deadline():
    started = asyncio.get_running_loop().time()
    async with AsyncRaftClient("127.0.0.1:1") as client:
        with pytest.raises(OperationFailedError, match=r"before a node accepted it; 127\.0\.0\.1:1: .*[Rr]efused"):
            await client.put("k", b"v", timeout=0.3)
    assert 0.3 <= asyncio.get_running_loop().time() - started < 2


async def test_closing_ends_what_is_under_way(make_node):
    node = await make_node()
    client = AsyncRaftClient(node.address)
    await client.put("k", b"v")
    node.script = lambda _request: None
    write, read = asyncio.create_task(client.put("k", b"v")), asyncio.create_task(client.get("k"))
    await until(lambda: len(node.requests) == 3)
    await client.close()
    with pytest.raises(OutcomeUnknownError):
        await write
    with pytest.raises(OperationFailedError, match="client was closed"):
        await read
    with pytest.raises(OperationFailedError, match="client is closed"):
        await client.put("k", b"v")


async def test_a_cancelled_operation_leaves_the_others_alone(make_node):
    node = await make_node()
    node.says_one_by_one(None)
    async with AsyncRaftClient(node.address) as client:
        forgotten = asyncio.create_task(client.put("a", b""))
        await node.asked.wait()
        forgotten.cancel()
        assert await client.put("b", b"", timeout=0.9) == 1
    assert forgotten.cancelled()
