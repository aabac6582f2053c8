"""The wheel that ends operations whose time is up."""

import asyncio

from raft_pkg.client.operation import PendingOperation
from raft_pkg.client.timer_wheel import TICK_SECONDS, TimerWheel


def make_operation(timeout):
    return PendingOperation("command", "put", "k", b"", timeout=timeout, loop=asyncio.get_running_loop())


async def test_operations_end_at_their_deadline_and_not_before():
    loop = asyncio.get_running_loop()
    expired = {}
    wheel = TimerWheel(loop, lambda operation: expired.setdefault(operation, loop.time()), lambda: None)
    operations = [make_operation(seconds) for seconds in (0.3, 0.1, 0.2)]
    for operation in operations:
        wheel.add(operation)
    await asyncio.sleep(0.5)
    assert list(expired) == [operations[1], operations[2], operations[0]]
    for operation, moment in expired.items():
        assert operation.deadline <= moment < operation.deadline + TICK_SECONDS + 0.1


async def test_an_operation_that_ended_in_time_is_forgotten():
    expired = []
    wheel = TimerWheel(asyncio.get_running_loop(), expired.append, lambda: None)
    done, late = make_operation(0.1), make_operation(0.1)
    wheel.add(done)
    wheel.add(late)
    wheel.discard(done)
    assert wheel.pending() == [late]
    await asyncio.sleep(0.2)
    assert expired == [late]


async def test_the_wheel_stands_still_when_nothing_is_under_way():
    turns = []
    wheel = TimerWheel(asyncio.get_running_loop(), lambda _operation: None, lambda: turns.append(1))
    operation = make_operation(60)
    wheel.add(operation)
    await asyncio.sleep(5 * TICK_SECONDS)
    assert turns
    wheel.discard(operation)
    await asyncio.sleep(2 * TICK_SECONDS)
    turns.clear()
    await asyncio.sleep(5 * TICK_SECONDS)
    assert turns == []
