"""Deferred operations are retried with randomized exponential back-off."""

import random

import pytest

from raft_pkg.client.operation import PendingOperation
from raft_pkg.client.retry import BACK_OFF_FIRST_SECONDS, BACK_OFF_MAX_SECONDS, RetryScheduler
from tests.unit.client.manual_loop import ManualLoop


async def test_the_delay_doubles_up_to_its_maximum():
    loop, retried = ManualLoop(), []
    scheduler = RetryScheduler(loop, random.Random(1), retried.append)
    operation = PendingOperation("command", "put", "k", b"", timeout=60, loop=loop)
    for attempt in range(20):
        scheduler.defer(operation)
        mean = min(BACK_OFF_MAX_SECONDS, BACK_OFF_FIRST_SECONDS * 2**attempt)
        (delay,) = loop.delays
        assert 0.5 * mean <= delay <= 1.5 * mean
        loop.advance(delay - 0.0001)
        assert len(retried) == attempt
        loop.advance(0.0002)
        assert len(retried) == attempt + 1
    assert set(retried) == {operation}


async def test_delays_are_randomized():
    loop = ManualLoop()
    scheduler = RetryScheduler(loop, random.Random(1), lambda _operation: pytest.fail("retried too early"))
    for _ in range(10):
        scheduler.defer(PendingOperation("command", "put", "k", b"", timeout=60, loop=loop))
    assert len(set(loop.delays)) == 10
