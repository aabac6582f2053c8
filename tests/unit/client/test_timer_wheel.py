"""The timer wheel expires operations at their deadlines."""

import pytest

from raft_pkg.client.operation import PendingOperation
from raft_pkg.client.timer_wheel import TICK_SECONDS, TimerWheel
from tests.unit.client.manual_loop import ManualLoop


@pytest.fixture
def loop():
    return ManualLoop()


def make_operation(loop, timeout):
    return PendingOperation("command", "put", "k", b"", timeout=timeout, loop=loop)


async def test_operations_expire_within_a_tick_after_their_deadline(loop):
    expired = {}
    wheel = TimerWheel(loop, lambda operation: expired.setdefault(operation, loop.time()), lambda: None)
    operations = [make_operation(loop, seconds) for seconds in (0.3, 0.1, 0.2)]
    for operation in operations:
        wheel.add(operation)
    loop.advance(0.5)
    assert list(expired) == [operations[1], operations[2], operations[0]]
    for operation, expired_at in expired.items():
        # a tick until the slot is due, and up to another until the wheel looks at it
        assert operation.deadline <= expired_at <= operation.deadline + 2 * TICK_SECONDS


async def test_a_discarded_operation_does_not_expire(loop):
    expired = []
    wheel = TimerWheel(loop, expired.append, lambda: None)
    completed, late = make_operation(loop, 0.1), make_operation(loop, 0.1)
    wheel.add(completed)
    wheel.add(late)
    wheel.discard(completed)
    assert wheel.pending() == [late]
    loop.advance(0.2)
    assert expired == [late]
    assert wheel.pending() == []


async def test_an_empty_wheel_does_not_tick(loop):
    ticks = []
    wheel = TimerWheel(loop, lambda _operation: None, lambda: ticks.append(loop.time()))
    operation = make_operation(loop, 60)
    wheel.add(operation)
    loop.advance(5 * TICK_SECONDS)
    assert len(ticks) == 5
    wheel.discard(operation)
    loop.advance(2 * TICK_SECONDS)
    assert loop.delays == []
    ticks.clear()
    loop.advance(5 * TICK_SECONDS)
    assert ticks == []


async def test_a_stopped_wheel_neither_ticks_nor_expires(loop):
    calls = []
    wheel = TimerWheel(loop, calls.append, lambda: calls.append("tick"))
    wheel.add(make_operation(loop, 0.1))
    wheel.stop()
    loop.advance(1.0)
    assert calls == []
    assert wheel.pending() == []
