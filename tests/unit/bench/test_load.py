"""Closed-loop load: outstanding operations, counts of successes, and reports of failures."""

import asyncio
import gc
import itertools
import os
from collections import Counter

import pytest

from raft_pkg.errors import ConfigurationError, InvalidOperationError, OperationFailedError, OutcomeUnknownError
from raft_testbed.bench import Plan, collecting, fill, measure, parse_mix


class Store:
    """A store that replies after one iteration of the event loop, with the given errors first."""

    def __init__(self, errors=()):
        self.keys = Counter()
        self.reads = self.outstanding = self.outstanding_max = 0
        self.errors = iter(errors)

    async def put(self, key, _value):
        self.keys[key] += 1
        await self._answer()

    async def get(self, key):
        assert key in self.keys, "a read of a key that was never written"
        self.reads += 1
        await self._answer()

    async def _answer(self):
        self.outstanding += 1
        self.outstanding_max = max(self.outstanding_max, self.outstanding)
        await asyncio.sleep(0)
        self.outstanding -= 1
        if (error := next(self.errors, None)) is not None:
            raise error


def plan(mix, **more):
    return Plan(
        **{"mix": parse_mix(mix), "outstanding": 8, "seconds": 0.05, "warm_up_seconds": 0.01, "keys": 10, **more}
    )


async def test_the_requested_number_of_operations_is_outstanding():
    store = Store()
    found = await measure(store, plan("put"))
    assert store.outstanding_max == 8
    assert set(store.keys) == {f"bench/{i:07}" for i in range(10)}
    assert found.all == found.puts
    assert found.gets.count == 0
    assert 0 < found.all.p50_ms <= found.all.p99_ms <= found.all.max_ms
    assert 0 < found.longest_gap_ms <= found.seconds * 1000
    assert (found.failed, found.unknown, found.processes_cpu_us) == (0, 0, None)


async def test_a_mix_has_its_share_of_reads_and_reads_only_written_keys():
    found = await measure(Store(), plan("90/10", keys=1_000))
    assert found.gets.count / found.all.count == pytest.approx(0.9, abs=0.05)
    assert found.gets.count + found.puts.count == found.all.count


async def test_reads_alone_have_no_gap_between_writes():
    assert (await measure(Store(), plan("get"))).longest_gap_ms is None


async def test_failures_are_counted_apart():
    errors = itertools.chain([None] * 50, itertools.cycle([OperationFailedError("no"), OutcomeUnknownError("?"), None]))
    found = await measure(Store(errors), plan("put"))
    assert found.failed > 0
    assert found.unknown > 0


async def test_without_success_the_last_error_is_raised():
    with pytest.raises(OperationFailedError, match=r"no operation succeeded within .* s; the last straw"):
        await measure(Store(itertools.repeat(OperationFailedError("the last straw"))), plan("put"))


async def test_an_invalid_operation_ends_the_measurement():
    with pytest.raises(InvalidOperationError, match="too large"):
        await measure(Store([InvalidOperationError("too large")] * 8), plan("put"))


async def test_the_cpu_time_of_processes_is_measured():
    found = await measure(Store(), plan("put", processes=(os.getpid(),), seconds=0.3))
    assert found.processes_cpu_us > 0
    assert found.client_cpu_us > 0


async def test_filling_writes_every_key_once():
    store = Store()
    await fill(store, [f"k{i}" for i in range(100)], b"v", outstanding=7)
    assert store.keys == {f"k{i}": 1 for i in range(100)}
    assert store.outstanding_max == 7


async def test_filling_retries_a_limited_number_of_times():
    await fill(Store([OperationFailedError("once")]), ["k"], b"v")
    with pytest.raises(OperationFailedError):
        await fill(Store([OperationFailedError("always")] * 3), ["k"], b"v")


@pytest.mark.parametrize(
    ("mode", "enabled", "frozen"), [("freeze", True, True), ("default", True, False), ("off", False, False)]
)
def test_the_mode_of_the_garbage_collector_is_set_and_restored(mode, enabled, frozen):
    with collecting(mode):
        assert gc.isenabled() is enabled
        assert (gc.get_freeze_count() > 0) is frozen
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("mix", ["", "puts", "90", "60/60", "-10/110", "1.5/98.5"])
def test_an_unknown_mix_is_rejected(mix):
    with pytest.raises(ConfigurationError, match="--mix"):
        parse_mix(mix)


def test_values_have_the_requested_length_and_are_not_zeros():
    assert len(plan("put", value_bytes=300).value) == 300
    assert any(plan("put", value_bytes=300).value)
