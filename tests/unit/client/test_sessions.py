"""Dissertation §6.3: a command is applied once, however often it is sent."""

import asyncio
import random

import pytest

from raft_pkg.client import AsyncRaftClient, OperationFailedError, OutcomeUnknownError
from raft_pkg.client import session as session_module
from raft_pkg.client.retry import RetryScheduler
from raft_pkg.client.session import SESSION_IDLE_SECONDS, ClientSession
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.requests import SESSION_RESPONSES_MAX
from tests.integration.load import Ledger
from tests.unit.client.conftest import ReplicatedState, losing_responses, wait_until


@pytest.fixture
def state():
    return ReplicatedState()


# --- opening a session ----------------------------------------------------------------------------------------------


async def test_a_client_uses_one_session_for_all_commands(make_node, state):
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as client:
        await asyncio.gather(*(client.append("k", b"x") for _ in range(100)))
        assert await client.append("k", b"x") == 101
    assert len(node.session_requests) == 1
    assert sorted(request.sequence for request in node.requests) == list(range(1, 102))


async def test_two_clients_have_two_sessions(make_node, state):
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as one, AsyncRaftClient(node.address) as other:
        await asyncio.gather(one.put("k", b""), other.put("k", b""))
    assert len(state.machine._sessions) == 2


async def test_reads_do_not_wait_for_a_session(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.get("k")
        assert node.session_requests == []
        node.session_script = lambda _request: None
        write = asyncio.create_task(client.put("k", b""))
        await wait_until(lambda: node.session_requests)
        await client.get("k")
        assert not write.done()
        write.cancel()
    assert all(request.queries for request in node.requests)


async def test_a_session_is_opened_by_another_node_after_a_lost_response(make_node, state):
    node, other = await make_node(), await make_node()
    state.serve(node, other)
    node.session_script = losing_responses(node.session_script)
    async with AsyncRaftClient([node.address, other.address]) as client:
        assert await client.append("k", b"x") == 1
    assert (len(node.session_requests), len(other.session_requests)) == (1, 1)


async def test_the_next_command_opens_the_session_when_the_first_one_expires(make_node, state):
    node = await make_node()
    state.serve(node)
    opening, node.session_script = (
        node.session_script,
        lambda request: pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_BUSY),
    )
    async with AsyncRaftClient(node.address) as client:
        impatient = asyncio.create_task(client.append("k", b"i", timeout=0.1))
        patient = asyncio.create_task(client.append("k", b"p", timeout=5))
        with pytest.raises(OperationFailedError, match=r"append of key 'k': its deadline of 0.1 s"):
            await impatient
        node.session_script = opening
        assert await patient == 1
    assert state.value("k") == b"p"


async def test_commands_fail_on_a_node_without_sessions(make_node):
    node = await make_node()
    node.session_script = lambda request: pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_INVALID, message="no command")
    async with AsyncRaftClient(node.address) as client:
        with pytest.raises(OperationFailedError, match=r"put of key 'k': no session can be opened: .*no command"):
            await client.put("k", b"")


# --- lost responses -------------------------------------------------------------------------------------------------


async def test_a_command_whose_response_is_lost_is_applied_once(make_node, state):
    node = await make_node()
    state.serve(node)
    node.script = losing_responses(node.script, times=2)
    async with AsyncRaftClient(node.address) as client:
        assert await client.append("k", b"x") == 1
        assert await client.append("k", b"y") == 2
    assert state.value("k") == b"xy"
    assert [request.sequence for request in node.requests] == [1, 1, 1, 2]


async def test_a_command_is_applied_once_across_two_leaders(make_node, state):
    old, new = await make_node(), await make_node()
    state.serve(old, new)
    old.script = losing_responses(old.script)
    async with AsyncRaftClient([old.address, new.address]) as client:
        assert await client.append("k", b"x") == 1
    assert state.value("k") == b"x"
    assert (len(old.requests), len(new.requests)) == (1, 1)


async def test_all_commands_on_a_broken_stream_are_applied_once(make_node, state):
    old, new = await make_node(), await make_node()
    state.serve(old, new)
    async with AsyncRaftClient([old.address, new.address]) as client:
        await client.append("k", b"x")
        run, outcomes = old.script, []

        def respond(request):
            outcomes.append(run(request))
            if len(outcomes) > 250:
                raise ConnectionResetError

        old.script = respond
        lengths = await asyncio.gather(*(client.append("k", b"x") for _ in range(500)))
    assert sorted(lengths) == list(range(2, 502))
    assert new.requests


async def test_a_command_that_an_unresponsive_leader_applied_is_applied_once(make_node, state):
    unresponsive, other = await make_node(), await make_node()
    state.serve(unresponsive, other)
    async with AsyncRaftClient([unresponsive.address, other.address]) as client:
        await client.append("k", b"x")
        run = unresponsive.script
        unresponsive.script = lambda request: run(request) and None
        assert await client.append("k", b"y") == 2
    assert [request.sequence for request in (*unresponsive.requests, *other.requests)] == [1, 2, 2]
    assert state.value("k") == b"xy"


async def test_outcomes_in_the_same_batch_as_a_rejection_count(make_node, state):
    """A leader that steps down reports what it has applied and rejects the rest, in one batch."""
    old, new = await make_node(), await make_node()
    state.serve(old, new)
    async with AsyncRaftClient([old.address, new.address]) as client:
        await client.append("k", b"x")
        run = old.script

        def respond(request):
            if request.sequence % 2:
                return run(request)
            return pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_NOT_LEADER, leader_address=new.address)

        old.script = respond
        await asyncio.gather(*(client.append("k", b"x") for _ in range(10)))
    assert state.value("k") == b"x" * 11
    assert sorted(request.sequence for request in new.requests) == [2, 4, 6, 8, 10]


async def test_a_late_copy_of_an_expired_command_is_not_applied(make_node, state):
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as client:
        await client.append("k", b"x")
        run, node.script = node.script, lambda _request: None
        with pytest.raises(OutcomeUnknownError):
            await client.append("k", b"late", timeout=0.1)
        late = node.requests[-1]
        node.script = run
        await client.append("k", b"y")
        assert run(late).code == pb.OUTCOME_CODE_SESSION_EXPIRED
    assert state.value("k") == b"xy"


# --- expired sessions -----------------------------------------------------------------------------------------------


async def test_a_command_whose_session_has_expired_is_applied_in_a_new_one(make_node, state):
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as client:
        await client.append("k", b"x")
        state.time_ms += state.ttl_ms + 1
        assert sorted(await asyncio.gather(*(client.append("k", b"x") for _ in range(20)))) == list(range(2, 22))
    assert len(node.session_requests) == 2
    assert state.value("k") == b"x" * 21


async def test_a_command_that_was_sent_before_its_session_expired_has_an_unknown_outcome(make_node, state):
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as client:
        await client.append("k", b"x")
        run = node.script

        def expire_and_lose(request):
            node.script = run
            state.time_ms += state.ttl_ms + 1
            raise ConnectionResetError

        node.script = expire_and_lose
        with pytest.raises(OutcomeUnknownError, match=r"append of key 'k': .* its session has expired"):
            await client.append("k", b"y")
        assert await client.append("k", b"z") == 2
    assert len(node.session_requests) == 2


async def test_a_command_that_was_rejected_before_its_session_expired_is_applied(make_node, state):
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as client:
        await client.append("k", b"x")
        run = node.script

        def expire_and_reject(request):
            node.script = run
            state.time_ms += state.ttl_ms + 1
            return pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_BUSY)

        node.script = expire_and_reject
        assert await client.append("k", b"y") == 2


async def test_a_session_that_expires_at_once_is_reopened_with_back_off(make_node, monkeypatch):
    attempts = []
    defer = RetryScheduler.defer

    def record_attempts(scheduler, operation):
        attempts.append(operation.attempts)
        defer(scheduler, operation)

    monkeypatch.setattr(RetryScheduler, "defer", record_attempts)
    node = await make_node()
    node.respond_in_turn(*[pb.OUTCOME_CODE_SESSION_EXPIRED] * 4)
    async with AsyncRaftClient(node.address) as client:
        await client.put("k", b"")
    assert attempts == [0, 1, 2, 3]
    assert len(node.session_requests) == 5


async def test_an_idle_client_opens_a_new_session(make_node, state, monkeypatch):
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as client:
        await client.append("k", b"x")
        await client.append("k", b"x")
        assert len(node.session_requests) == 1
        monkeypatch.setattr(session_module, "SESSION_IDLE_SECONDS", 0.2)
        await asyncio.sleep(0.3)
        await client.get("k")
        assert len(node.session_requests) == 1
        assert await client.append("k", b"x") == 3
    assert len(node.session_requests) == 2
    assert node.requests[-1].sequence == 1


async def test_a_stuck_command_does_not_block_others(make_node, state, monkeypatch):
    """The others continue in a new session; the stuck command keeps its own."""
    monkeypatch.setattr(session_module, "SESSION_RESPONSES_MAX", 8)
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as client:
        run = node.script
        stuck = []

        def respond(request):
            if b"stuck" in request.commands[0]:
                stuck.append((node.batches[-1].session_id, request.sequence))
                if len(stuck) < 6:
                    return pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_BUSY)
            return run(request)

        node.script = respond
        first = asyncio.create_task(client.append("k", b"stuck"))
        for _ in range(10):
            await client.append("k", b"x")
        assert not first.done()
        await first
    assert len(set(stuck)) == 1
    assert stuck[0][0] == 1
    assert len(node.session_requests) == 2
    assert sorted(state.value("k")) == sorted(b"x" * 10 + b"stuck")


# --- acknowledgement ------------------------------------------------------------------------------------------------


async def test_the_acknowledged_low_water_mark_follows_the_outcomes(make_node, state):
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as client:
        for _ in range(4):
            await client.append("k", b"x")
    assert [batch.acknowledged_below for batch in node.batches if batch.session_id] == [1, 2, 3, 4]


async def test_the_acknowledged_low_water_mark_waits_for_the_lowest_outstanding_number(make_node, state):
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as client:
        run, node.script = node.script, lambda _request: None
        waiting = asyncio.create_task(client.append("k", b"x"))
        await wait_until(lambda: node.requests)
        node.script = run
        for _ in range(3):
            await client.append("k", b"x")
        assert node.batches[-1].acknowledged_below == 1
        waiting.cancel()
        await asyncio.sleep(0)
        await client.append("k", b"x")
    assert node.batches[-1].acknowledged_below == 5


async def test_an_expired_command_counts_as_acknowledged(make_node, state):
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as client:
        run, node.script = node.script, lambda _request: None
        with pytest.raises(OutcomeUnknownError):
            await client.append("k", b"x", timeout=0.1)
        node.script = run
        await client.append("k", b"x")
    assert node.batches[-1].acknowledged_below == 2


class ManualClock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_session_assigns_numbers_from_1_and_keeps_the_low_water_mark():
    session = ClientSession(7, ManualClock())
    assert [session.next_sequence() for _ in range(4)] == [1, 2, 3, 4]
    assert session.mark_sent() == 1
    session.complete(2)
    session.complete(3)
    assert session.mark_sent() == 1
    session.complete(1)
    session.complete(1)
    assert session.mark_sent() == 4
    session.complete(4)
    assert session.mark_sent() == 5


def test_a_session_is_not_used_after_it_was_idle():
    clock = ManualClock()
    session = ClientSession(7, clock)
    clock.now = SESSION_IDLE_SECONDS
    assert session.next_sequence() == 1
    session.mark_sent()
    session.complete(1)
    clock.now *= 2
    assert session.next_sequence() == 2
    clock.now *= 2  # a session with an outstanding command is not idle
    assert session.next_sequence() == 3
    session.complete(2)
    session.complete(3)
    assert session.next_sequence() == 0


def test_a_session_has_no_more_outstanding_commands_than_the_cluster_records():
    session = ClientSession(7, ManualClock())
    assert all(session.next_sequence() for _ in range(SESSION_RESPONSES_MAX))
    assert not session.next_sequence()
    session.complete(2)
    assert not session.next_sequence()
    session.complete(1)
    assert session.next_sequence() == SESSION_RESPONSES_MAX + 1


# --- all faults together ---------------------------------------------------------------------------------------------


def faulty_script(state, node, other, rng):
    """Reject some commands, lose some responses, and let sessions expire."""
    run = node.script

    def respond(request):
        if state.index % 100 == 99:
            state.index += 1
            state.time_ms += state.ttl_ms + 1
        match rng.randrange(40):
            case 0:
                return pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_BUSY)
            case 1:
                return pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_NOT_LEADER, leader_address=other.address)
            case 2:
                return pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_UNKNOWN)
            case 3:
                run(request)
                return pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_UNKNOWN)
            case 4:
                raise ConnectionResetError
            case 5:
                run(request)
                raise ConnectionResetError
        return run(request)

    return respond


@pytest.mark.parametrize("seed", range(3))
async def test_commands_are_applied_once_under_all_faults(make_node, state, seed):
    rng = random.Random(seed)
    one, other = await make_node(), await make_node()
    state.serve(one, other)
    one.script, other.script = faulty_script(state, one, other, rng), faulty_script(state, other, one, rng)
    ledger = Ledger("k")
    async with AsyncRaftClient([one.address, other.address]) as client:

        async def write(number):
            for i in range(10):
                await ledger.append(client, f"{number}.{i}\n")
                await ledger.read(client)

        await asyncio.gather(*(write(number) for number in range(30)))
    assert ledger.judge(state.value("k")) == [], f"seed {seed}"
    assert ledger.failed == set()
    assert len(ledger.acknowledged) > 100
    assert len(one.session_requests) + len(other.session_requests) > 2
