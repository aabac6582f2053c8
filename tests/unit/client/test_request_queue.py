"""Which operations a batch takes from the queue."""

import asyncio

import pytest

from raft_pkg.client.operation import PendingOperation
from raft_pkg.client.request_queue import BATCH_BYTES_MAX, RequestQueue
from raft_pkg.client.session import ClientSession


def make_operation(operation_type="command", payload=b""):
    loop = asyncio.get_running_loop()
    return PendingOperation(operation_type, operation_type, None, payload, timeout=60, loop=loop)


@pytest.fixture
def sessions():
    """Return two sessions, by id."""
    return {number: ClientSession(number, lambda: 0.0) for number in (1, 2)}


def queue_of(operations, session):
    def assign(command):
        command.session = session
        return session

    queue = RequestQueue(assign)
    for operation in operations:
        queue.append(operation)
    return queue


async def test_takes_operations_in_order_up_to_the_count(sessions):
    operations = [make_operation() for _ in range(5)]
    queue = queue_of(operations, sessions[1])
    assert queue.take(3) == (operations[:3], sessions[1])
    assert queue.take(3) == (operations[3:], sessions[1])
    assert queue.take(3) == ([], None)


async def test_takes_nothing_without_capacity(sessions):
    queue = queue_of([make_operation()], sessions[1])
    assert queue.take(0) == queue.take(-1) == ([], None)
    assert len(queue) == 1


async def test_a_batch_has_commands_of_one_session(sessions):
    old, new = [make_operation() for _ in range(2)], [make_operation() for _ in range(2)]
    for operation in old:
        operation.session = sessions[1]
    query = make_operation("query")
    queue = queue_of([*old, query, *new], sessions[2])
    assert queue.take(10) == ([*old, query], sessions[1])
    assert queue.take(10) == (new, sessions[2])


async def test_queries_need_no_session():
    query = make_operation("query")
    queue = queue_of([query], None)
    assert queue.take(10) == ([query], None)


async def test_a_command_that_waits_for_a_session_leaves_the_queue():
    command, query = make_operation(), make_operation("query")
    queue = queue_of([command, query], None)
    assert queue.take(10) == ([query], None)
    assert len(queue) == 0


async def test_skips_operations_that_are_done(sessions):
    cancelled, pending = make_operation(), make_operation()
    cancelled.future.cancel()
    assert queue_of([cancelled, pending], sessions[1]).take(1) == ([pending], sessions[1])
    queue = queue_of([cancelled, pending, cancelled], sessions[1])
    queue.drop_done()
    assert len(queue) == 2


async def test_a_batch_is_limited_in_bytes(sessions):
    half = bytes(BATCH_BYTES_MAX // 2)
    operations = [make_operation(payload=half) for _ in range(5)]
    queue = queue_of(operations, sessions[1])
    assert [len(queue.take(10)[0]) for _ in range(3)] == [2, 2, 1]


async def test_prepended_operations_come_first_in_their_order(sessions):
    operations = [make_operation() for _ in range(4)]
    queue = queue_of(operations[2:], sessions[1])
    queue.prepend(operations[:2])
    assert queue.take(10) == (operations, sessions[1])
