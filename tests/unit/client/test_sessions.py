"""§6.3 of the dissertation: a client's command is applied once, however often it has to be sent."""

import asyncio
import random

import pytest

from raft_pkg.client import AsyncRaftClient, OperationFailedError, OutcomeUnknownError
from raft_pkg.client import session as session_module
from raft_pkg.client.dispatcher import UNRESPONSIVE_SECONDS
from raft_pkg.client.session import SESSION_IDLE_SECONDS, ClientSession
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.sessions import SESSION_RESPONSES_MAX
from tests.integration.load import Ledger
from tests.unit.client.conftest import ReplicatedState, losing, until


@pytest.fixture
def state():
    return ReplicatedState()


# --- the session is opened ------------------------------------------------------------------------------------------


async def test_one_session_serves_all_commands_of_a_client(make_node, state):
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as client:
        await asyncio.gather(*(client.append("k", b"x") for _ in range(100)))
        assert await client.append("k", b"x") == 101
    assert len(node.openings) == 1
    assert sorted(request.sequence for request in node.requests) == list(range(1, 102))


async def test_two_clients_have_two_sessions(make_node, state):
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as one, AsyncRaftClient(node.address) as other:
        await asyncio.gather(one.put("k", b""), other.put("k", b""))
    assert state.machine.session_count == 2


async def test_reads_need_no_session_and_do_not_wait_for_one(make_node):
    node = await make_node()
    async with AsyncRaftClient(node.address) as client:
        await client.get("k")
        assert node.openings == []
        node.opening = lambda _request: None
        write = asyncio.create_task(client.put("k", b""))
        await until(lambda: node.openings)
        await client.get("k")
        assert not write.done()
        write.cancel()
    assert all(request.queries for request in node.requests)


async def test_a_session_that_another_node_opens_at_last(make_node, state):
    node, other = await make_node(), await make_node()
    state.serve(node, other)
    node.opening = losing(node.opening)
    async with AsyncRaftClient([node.address, other.address]) as client:
        assert await client.append("k", b"x") == 1
    assert (len(node.openings), len(other.openings)) == (1, 1)


async def test_a_session_is_still_wanted_when_the_command_that_asked_for_it_has_given_up(make_node, state):
    node = await make_node()
    state.serve(node)
    opening, node.opening = node.opening, lambda request: pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_BUSY)
    async with AsyncRaftClient(node.address) as client:
        impatient = asyncio.create_task(client.append("k", b"i", timeout=0.1))
        patient = asyncio.create_task(client.append("k", b"p", timeout=5))
        with pytest.raises(OperationFailedError, match=r"append of key 'k': its deadline of 0.1 s"):
            await impatient
        node.opening = opening
        assert await patient == 1
    assert state.value("k") == b"p"


async def test_a_node_that_knows_no_sessions_fails_what_needs_one(make_node):
    node = await make_node()
    node.opening = lambda request: pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_INVALID, message="no command")
    async with AsyncRaftClient(node.address) as client:
        with pytest.raises(OperationFailedError, match=r"put of key 'k': no session can be opened: .*no command"):
            await client.put("k", b"")


# --- answers are lost -----------------------------------------------------------------------------------------------


async def test_a_command_whose_answer_is_lost_is_applied_once(make_node, state):
    node = await make_node()
    state.serve(node)
    node.script = losing(node.script, times=2)
    async with AsyncRaftClient(node.address) as client:
        assert await client.append("k", b"x") == 1
        assert await client.append("k", b"y") == 2
    assert state.value("k") == b"xy"
    assert [request.sequence for request in node.requests] == [1, 1, 1, 2]


async def test_a_command_is_applied_once_across_two_leaders_that_share_the_log(make_node, state):
    old, new = await make_node(), await make_node()
    state.serve(old, new)
    old.script = losing(old.script)
    async with AsyncRaftClient([old.address, new.address]) as client:
        assert await client.append("k", b"x") == 1
    assert state.value("k") == b"x"
    assert (len(old.requests), len(new.requests)) == (1, 1)


async def test_all_commands_on_a_stream_that_broke_are_applied_once(make_node, state):
    old, new = await make_node(), await make_node()
    state.serve(old, new)
    async with AsyncRaftClient([old.address, new.address]) as client:
        await client.append("k", b"x")
        run, seen = old.script, []

        def answer(request):
            seen.append(run(request))
            if len(seen) > 250:
                raise ConnectionResetError

        old.script = answer
        lengths = await asyncio.gather(*(client.append("k", b"x") for _ in range(500)))
    assert sorted(lengths) == list(range(2, 502))
    assert new.requests


async def test_a_command_that_a_silent_leader_did_apply_is_applied_once(make_node, state):
    silent, other = await make_node(), await make_node()
    state.serve(silent, other)
    async with AsyncRaftClient([silent.address, other.address]) as client:
        await client.append("k", b"x")
        run = silent.script
        silent.script = lambda request: run(request) and None
        started = asyncio.get_running_loop().time()
        assert await client.append("k", b"y") == 2
    assert asyncio.get_running_loop().time() - started >= UNRESPONSIVE_SECONDS
    assert state.value("k") == b"xy"


async def test_outcomes_that_come_with_a_refusal_count(make_node, state):
    """A leader that steps down answers what it has done, and refuses the rest, in one message."""
    old, new = await make_node(), await make_node()
    state.serve(old, new)
    async with AsyncRaftClient([old.address, new.address]) as client:
        await client.append("k", b"x")
        run = old.script

        def answer(request):
            if request.sequence % 2:
                return run(request)
            return pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_NOT_LEADER, leader_address=new.address)

        old.script = answer
        await asyncio.gather(*(client.append("k", b"x") for _ in range(10)))
    assert state.value("k") == b"x" * 11
    assert sorted(request.sequence for request in new.requests) == [2, 4, 6, 8, 10]


async def test_what_a_client_gave_up_is_not_applied_by_a_late_copy(make_node, state):
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


# --- the session ends -----------------------------------------------------------------------------------------------


async def test_a_command_that_finds_the_session_expired_is_done_in_a_new_one(make_node, state):
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as client:
        await client.append("k", b"x")
        state.time_ms += state.ttl_ms + 1
        assert sorted(await asyncio.gather(*(client.append("k", b"x") for _ in range(20)))) == list(range(2, 22))
    assert len(node.openings) == 2
    assert state.value("k") == b"x" * 21


async def test_a_command_that_was_sent_before_its_session_expired_is_unknown(make_node, state):
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
    assert len(node.openings) == 2


async def test_a_refusal_before_the_session_expired_does_no_harm(make_node, state):
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as client:
        await client.append("k", b"x")
        run = node.script

        def expire_and_refuse(request):
            node.script = run
            state.time_ms += state.ttl_ms + 1
            return pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_BUSY)

        node.script = expire_and_refuse
        assert await client.append("k", b"y") == 2


async def test_sessions_that_expire_at_once_are_opened_less_and_less(make_node):
    node = await make_node()
    node.script = lambda request: pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_SESSION_EXPIRED)
    async with AsyncRaftClient(node.address) as client:
        with pytest.raises(OperationFailedError):
            await client.put("k", b"", timeout=0.5)
    assert 3 <= len(node.openings) <= 12


async def test_an_idle_client_begins_a_new_session(make_node, state, monkeypatch):
    monkeypatch.setattr(session_module, "SESSION_IDLE_SECONDS", 0.2)
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as client:
        await client.append("k", b"x")
        await client.append("k", b"x")
        assert len(node.openings) == 1
        await asyncio.sleep(0.3)
        await client.get("k")
        assert len(node.openings) == 1
        assert await client.append("k", b"x") == 3
    assert len(node.openings) == 2
    assert node.requests[-1].sequence == 1


async def test_one_command_that_is_stuck_does_not_hold_up_others(make_node, state, monkeypatch):
    """They go on in another session, and the stuck one keeps its own."""
    monkeypatch.setattr(session_module, "SESSION_RESPONSES_MAX", 8)
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as client:
        run = node.script
        stuck = []

        def answer(request):
            if b"stuck" in request.commands[0]:
                stuck.append((node.batches[-1].session_id, request.sequence))
                if len(stuck) < 6:
                    return pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_BUSY)
            return run(request)

        node.script = answer
        first = asyncio.create_task(client.append("k", b"stuck"))
        for _ in range(10):
            await client.append("k", b"x")
        assert not first.done()
        await first
    assert len(set(stuck)) == 1
    assert stuck[0][0] == 1
    assert len(node.openings) == 2
    assert sorted(state.value("k")) == sorted(b"x" * 10 + b"stuck")


# --- what is acknowledged -------------------------------------------------------------------------------------------


async def test_the_acknowledged_mark_follows_the_outcomes(make_node, state):
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as client:
        for _ in range(4):
            await client.append("k", b"x")
    assert [batch.acknowledged_below for batch in node.batches if batch.session_id] == [1, 2, 3, 4]


async def test_the_acknowledged_mark_waits_for_the_lowest(make_node, state):
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as client:
        run, node.script = node.script, lambda _request: None
        waiting = asyncio.create_task(client.append("k", b"x"))
        await until(lambda: node.requests)
        node.script = run
        for _ in range(3):
            await client.append("k", b"x")
        assert node.batches[-1].acknowledged_below == 1
        waiting.cancel()
        await asyncio.sleep(0)
        await client.append("k", b"x")
    assert node.batches[-1].acknowledged_below == 5


async def test_a_command_that_was_given_up_at_its_deadline_counts_as_acknowledged(make_node, state):
    node = await make_node()
    state.serve(node)
    async with AsyncRaftClient(node.address) as client:
        run, node.script = node.script, lambda _request: None
        with pytest.raises(OutcomeUnknownError):
            await client.append("k", b"x", timeout=0.1)
        node.script = run
        await client.append("k", b"x")
    assert node.batches[-1].acknowledged_below == 2


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_session_numbers_from_1_on_and_knows_the_lowest_that_is_waited_for():
    session = ClientSession(7, Clock())
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


def test_a_session_is_good_until_a_pause_of_some_length():
    clock = Clock()
    session = ClientSession(7, clock)
    clock.now = SESSION_IDLE_SECONDS
    assert session.next_sequence() == 1
    session.mark_sent()
    session.complete(1)
    clock.now *= 2
    assert session.next_sequence() == 2
    clock.now *= 2  # while one is waited for, it is not idle
    assert session.next_sequence() == 3
    session.complete(2)
    session.complete(3)
    assert session.next_sequence() == 0


def test_a_session_takes_no_more_commands_than_the_cluster_records():
    session = ClientSession(7, Clock())
    assert all(session.next_sequence() for _ in range(SESSION_RESPONSES_MAX))
    assert not session.next_sequence()
    session.complete(2)
    assert not session.next_sequence()
    session.complete(1)
    assert session.next_sequence() == SESSION_RESPONSES_MAX + 1


# --- all of it at once ----------------------------------------------------------------------------------------------


def troubled(state, node, other, rng):
    """Two leaders that share a log, refuse some commands, lose some answers, and let sessions expire."""
    run = node.script

    def answer(request):
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

    return answer


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_a_command_is_applied_once(make_node, state, seed):
    rng = random.Random(seed)
    one, other = await make_node(), await make_node()
    state.serve(one, other)
    one.script, other.script = troubled(state, one, other, rng), troubled(state, other, one, rng)
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
    assert len(one.openings) + len(other.openings) > 2
