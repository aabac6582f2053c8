"""The outcome of an operation for each response of the node."""

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
from tests.unit.client.conftest import wait_until


async def test_the_result_of_each_operation(make_node):
    node = await make_node()
    results = {
        "put": kv.KvResult(),
        "delete": kv.KvResult(found=True),
        "compare_and_set": kv.KvResult(found=False, value=b"other"),
        "append": kv.KvResult(length=7),
        "get": kv.KvResult(found=True, value=b"value"),
    }

    def respond(request):
        name = kv.KvCommand.FromString(request.commands[0]).WhichOneof("body") if request.commands else "get"
        return pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_OK, index=9, results=[results[name].SerializeToString()])

    node.script = respond
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
    node.respond_with(pb.OUTCOME_CODE_OK, results=[kv.KvResult(found=False).SerializeToString()])
    async with AsyncRaftClient(node.address) as client:
        assert await client.get("k") is None
        node.respond_with(pb.OUTCOME_CODE_OK, results=[kv.KvResult(found=True).SerializeToString()])
        assert await client.get("k") == b""


@pytest.mark.parametrize("code", [pb.OUTCOME_CODE_BUSY, pb.OUTCOME_CODE_UNAVAILABLE, pb.OUTCOME_CODE_NOT_LEADER])
async def test_an_operation_that_was_not_applied_is_retried(make_node, code):
    node = await make_node()
    node.respond_in_turn(code, code)
    async with AsyncRaftClient(node.address) as client:
        await client.put("k", b"v")
    assert len(node.requests) == 3


@pytest.mark.parametrize("code", [pb.OUTCOME_CODE_UNKNOWN, 99])
async def test_a_command_with_an_unknown_outcome_is_sent_again_with_its_sequence_number(make_node, code):
    """99 is a code of a later version."""
    node = await make_node()
    node.respond_in_turn(code, code)
    async with AsyncRaftClient(node.address) as client:
        await client.put("k", b"v")
    assert [request.sequence for request in node.requests] == [1, 1, 1]


async def test_a_command_whose_outcome_stays_unknown_is_unknown_at_its_deadline(make_node):
    node = await make_node()
    node.script = lambda request: pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_UNKNOWN)
    async with AsyncRaftClient(node.address) as client:
        with pytest.raises(OutcomeUnknownError, match=r"put of key 'k': its deadline of 0.2 s .* may or may not"):
            await client.put("k", b"v", timeout=0.2)
    assert len(node.requests) > 1


@pytest.mark.parametrize("code", [pb.OUTCOME_CODE_BUSY, pb.OUTCOME_CODE_NOT_LEADER, pb.OUTCOME_CODE_UNAVAILABLE])
async def test_a_command_that_was_only_rejected_has_failed_at_its_deadline(make_node, monkeypatch, code):
    """Expect a single attempt: a deadline between an attempt and its response would make the outcome unknown."""
    for name in ("BACK_OFF_FIRST_SECONDS", "BACK_OFF_MAX_SECONDS"):
        monkeypatch.setattr(locator, name, 10)
        monkeypatch.setattr(retry, name, 10)
    node = await make_node()
    node.script = lambda request: pb.Outcome(id=request.id, code=code)
    async with AsyncRaftClient(node.address) as client:
        with pytest.raises(OperationFailedError, match=r"put of key 'k': its deadline of 0.2 s"):
            await client.put("k", b"v", timeout=0.2)
    assert len(node.requests) == 1


async def test_a_rejection_does_not_make_an_earlier_attempt_certain(make_node):
    node = await make_node()
    codes = iter([pb.OUTCOME_CODE_UNKNOWN])
    node.script = lambda request: pb.Outcome(id=request.id, code=next(codes, pb.OUTCOME_CODE_BUSY))
    async with AsyncRaftClient(node.address) as client:
        with pytest.raises(OutcomeUnknownError):
            await client.put("k", b"v", timeout=0.2)


async def test_a_busy_node_is_asked_again_with_back_off(make_node, monkeypatch):
    attempts = []
    defer = retry.RetryScheduler.defer

    def record_attempts(scheduler, operation):
        attempts.append(operation.attempts)
        defer(scheduler, operation)

    monkeypatch.setattr(retry.RetryScheduler, "defer", record_attempts)
    node = await make_node()
    node.respond_in_turn(*[pb.OUTCOME_CODE_BUSY] * 5)
    async with AsyncRaftClient(node.address) as client:
        await client.put("k", b"v")
    assert attempts == [0, 1, 2, 3, 4]
    assert len(node.requests) == 6


async def test_a_read_with_an_unknown_outcome_is_retried(make_node):
    node = await make_node()
    node.respond_in_turn(pb.OUTCOME_CODE_UNKNOWN)
    async with AsyncRaftClient(node.address) as client:
        assert await client.get("k") is None
    assert len(node.requests) == 2


async def test_invalid_is_final_and_has_the_nodes_message(make_node):
    node = await make_node()
    node.script = lambda request: pb.Outcome(
        id=request.id, code=pb.OUTCOME_CODE_INVALID, message="the sum would be too large"
    )
    async with AsyncRaftClient(node.address) as client:
        with pytest.raises(InvalidOperationError, match="append of key 'k': the sum would be too large"):
            await client.append("k", b"v")
    assert len(node.requests) == 1


async def test_an_operation_that_the_state_machine_rejects_is_invalid(make_node):
    node = await make_node()
    result = kv.KvResult(error="too large").SerializeToString()
    node.script = lambda request: pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_OK, results=[result])
    async with AsyncRaftClient(node.address) as client:
        for operation in (client.put("k", b""), client.append("k", b""), client.get("k"), client.delete("k")):
            with pytest.raises(InvalidOperationError, match="too large"):
                await operation


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("", b"", "1 to 1024 bytes"),
        ("k" * 1025, b"", "1025 bytes"),
        ("é" * 513, b"", "1026 bytes"),
        ("k", b"v" * (1024 * 1024 + 1), "1048577 bytes for key 'k'"),
    ],
)
async def test_limits_are_checked_before_an_operation_is_sent(key, value, message):
    async with AsyncRaftClient("127.0.0.1:1") as client:
        with pytest.raises(InvalidOperationError, match=message):
            await client.put(key, value)


async def test_a_write_without_a_response_is_unknown_at_its_deadline(make_node):
    node = await make_node()
    node.script = lambda _request: None
    async with AsyncRaftClient(node.address) as client:
        with pytest.raises(OutcomeUnknownError, match="may or may not have been applied"):
            await client.put("k", b"v", timeout=0.2)
    assert len(node.requests) == 1


async def test_a_read_without_a_response_has_failed_at_its_deadline(make_node):
    node = await make_node()
    node.script = lambda _request: None
    async with AsyncRaftClient(node.address) as client:
        with pytest.raises(OperationFailedError, match="get of key 'k': its deadline"):
            await client.get("k", timeout=0.2)


async def test_an_operation_that_was_never_sent_has_failed_at_its_deadline():
    async with AsyncRaftClient("127.0.0.1:1") as client:
        with pytest.raises(
            OperationFailedError,
            match=r"its deadline of 0.3 s passed before a node accepted it; 127\.0\.0\.1:1: .*[Rr]efused",
        ):
            await client.put("k", b"v", timeout=0.3)


async def test_closing_the_client_ends_operations(make_node):
    node = await make_node()
    client = AsyncRaftClient(node.address)
    await client.put("k", b"v")
    node.script = lambda _request: None
    write, read = asyncio.create_task(client.put("k", b"v")), asyncio.create_task(client.get("k"))
    await wait_until(lambda: len(node.requests) == 3)
    await client.close()
    with pytest.raises(OutcomeUnknownError):
        await write
    with pytest.raises(OperationFailedError, match="client was closed"):
        await read
    with pytest.raises(OperationFailedError, match="client is closed"):
        await client.put("k", b"v")


async def test_a_cancelled_operation_does_not_affect_others(make_node):
    node = await make_node()
    node.respond_in_turn(None)
    async with AsyncRaftClient(node.address) as client:
        cancelled = asyncio.create_task(client.put("a", b""))
        await node.received.wait()
        cancelled.cancel()
        assert await client.put("b", b"", timeout=0.9) == 1
    assert cancelled.cancelled()
