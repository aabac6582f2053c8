"""Which requests an adapter executes, and that it executes a command at most once."""

import asyncio

import pytest

from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.requests import outcome_count
from raft_testbed.adapter.executor import REQUESTS_MAX, SESSIONS_MAX, AcceptedSequences, CommandExecutor

PEERS = {"raft-0": "127.0.0.1:6000", "raft-1": "127.0.0.1:7000"}


class FixedLeadership:
    def __init__(self, leader):
        self.leader = leader


class RecordingStateMachine:
    """Applies every command, and records it."""

    def __init__(self):
        self.applied = []

    async def command(self, command):
        self.applied.append(command)
        return pb.Outcome(code=pb.OUTCOME_CODE_OK)

    query = command


class ListWaiter:
    def __init__(self):
        self.outcomes = []

    def complete(self, outcome):
        self.outcomes.append(outcome)

    def flush(self):
        """Do nothing: the list needs no flush."""


def executor_with(leader):
    state_machine = RecordingStateMachine()
    return CommandExecutor("raft-0", PEERS, FixedLeadership(leader), state_machine), state_machine


async def outcomes_of(executor, requests, **session):
    waiter = ListWaiter()
    executor.submit(waiter, requests, **session)
    await asyncio.gather(*executor._tasks)
    return waiter.outcomes


async def open_session(executor):
    (opened,) = await outcomes_of(executor, [pb.Request(id=1, open_session=True)])
    return opened.session_id


async def test_a_follower_names_the_leader():
    executor, state_machine = executor_with("raft-1")
    (outcome,) = await outcomes_of(executor, [pb.Request(id=3, commands=[b"c"])])
    assert (outcome.id, outcome.code) == (3, pb.OUTCOME_CODE_NOT_LEADER)
    assert (outcome.leader_id, outcome.leader_address) == ("raft-1", "127.0.0.1:7000")
    assert state_machine.applied == []


async def test_a_follower_executes_any_node_reads():
    executor, _ = executor_with("raft-1")
    (outcome,) = await outcomes_of(executor, [pb.Request(id=1, queries=[b"q"], any_node=True)])
    assert outcome.code == pb.OUTCOME_CODE_OK


async def test_a_repeated_command_is_executed_once():
    executor, state_machine = executor_with("raft-0")
    session_id = await open_session(executor)
    request = pb.Request(id=2, commands=[b"c"], sequence=1)
    codes = []
    for _ in range(2):
        (outcome,) = await outcomes_of(executor, [request], session_id=session_id, acknowledged=1)
        codes.append(outcome.code)
    assert codes == [pb.OUTCOME_CODE_OK, pb.OUTCOME_CODE_SESSION_EXPIRED]
    assert state_machine.applied == [b"c"]


async def test_each_command_of_a_batch_has_its_own_outcome():
    executor, state_machine = executor_with("raft-0")
    session = {"session_id": await open_session(executor), "acknowledged": 1}
    outcomes = await outcomes_of(executor, [pb.Request(id=5, commands=[b"a", b"b", b"c"], sequence=1)], **session)
    assert sorted((o.id, outcome_count(o), o.code) for o in outcomes) == [(n, 1, pb.OUTCOME_CODE_OK) for n in (5, 6, 7)]
    assert sorted(state_machine.applied) == [b"a", b"b", b"c"]
    (repeated, new) = await outcomes_of(executor, [pb.Request(id=8, commands=[b"c", b"d"], sequence=3)], **session)
    assert (repeated.id, repeated.code) == (8, pb.OUTCOME_CODE_SESSION_EXPIRED)
    assert (new.id, new.code) == (9, pb.OUTCOME_CODE_OK)
    assert state_machine.applied[3:] == [b"d"]


@pytest.mark.parametrize(
    "request_",
    [
        pb.Request(id=5, commands=[b"a"], queries=[b"q", b"q"]),
        pb.Request(id=2**64 - 1, commands=[b"a"] * 3),
        pb.Request(id=5, commands=[b"a"] * 3, sequence=2**64 - 1),
    ],
    ids=["two types", "ids too high", "sequence numbers too high"],
)
async def test_an_invalid_batch_is_rejected_as_a_whole(request_):
    executor, state_machine = executor_with("raft-0")
    (outcome,) = await outcomes_of(executor, [request_])
    assert (outcome.id, outcome_count(outcome), outcome.code) == (request_.id, 3, pb.OUTCOME_CODE_INVALID)
    assert state_machine.applied == []


async def test_a_session_of_another_process_has_expired():
    executor, state_machine = executor_with("raft-0")
    request = pb.Request(id=1, commands=[b"c"], sequence=1)
    (outcome,) = await outcomes_of(executor, [request], session_id=77, acknowledged=1)
    assert outcome.code == pb.OUTCOME_CODE_SESSION_EXPIRED
    assert state_machine.applied == []


async def test_one_more_session_expires_the_oldest():
    executor, _ = executor_with("raft-0")
    sessions = [await open_session(executor) for _ in range(SESSIONS_MAX + 1)]
    codes = []
    for session_id in (sessions[0], sessions[1], sessions[-1]):
        request = pb.Request(id=1, commands=[b"c"], sequence=1)
        (outcome,) = await outcomes_of(executor, [request], session_id=session_id, acknowledged=1)
        codes.append(outcome.code)
    assert codes == [pb.OUTCOME_CODE_SESSION_EXPIRED, pb.OUTCOME_CODE_OK, pb.OUTCOME_CODE_OK]


async def test_requests_beyond_the_limit_are_busy():
    executor, _ = executor_with("raft-0")
    requests = [pb.Request(id=number, commands=[b"c"]) for number in range(REQUESTS_MAX + 1)]
    outcomes = await outcomes_of(executor, requests)
    assert [o.id for o in outcomes if o.code == pb.OUTCOME_CODE_BUSY] == [REQUESTS_MAX]


def test_sequence_numbers_below_the_acknowledged_low_water_mark_are_not_accepted():
    sequences = AcceptedSequences()
    assert sequences.accept(5, 1)
    assert sequences.accept(7, 6)
    assert not sequences.accept(5, 6)
    assert not sequences.accept(7, 6)
    assert sequences.accept(6, 6)
