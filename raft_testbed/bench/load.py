"""Closed-loop load: a constant number of outstanding operations; each reply triggers the next request.

The cost of measuring is part of the result, so it is small: two clock readings and one count for each operation.
"""

import asyncio
import contextlib
import gc
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import psutil

from raft_pkg.errors import InvalidOperationError, OperationError, OperationFailedError, OutcomeUnknownError
from raft_testbed.bench.histogram import Histogram
from raft_testbed.bench.measurement import Latencies, Measurement
from raft_testbed.bench.mix import Mix

FILL_OUTSTANDING = 64
FAILURE_PAUSE_SECONDS = 0.01
"""Pause of a worker after an error, so that it does not retry in a busy loop."""

GarbageCollection = Literal["freeze", "default", "off"]
"""Garbage collection in the measuring process: "freeze" exempts all objects that exist when the load starts, "default"
is Python's default, "off" disables it."""


class Target(Protocol):
    """A store to measure, such as `AsyncRaftClient`. Unsuccessful operations raise `OperationError`."""

    async def put(self, key: str, value: bytes) -> object:
        """Set a value and wait for the acknowledgement."""
        ...

    async def get(self, key: str) -> object:
        """Read a value."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """Parameters of one measurement."""

    mix: Mix
    outstanding: int
    seconds: float = 5.0
    warm_up_seconds: float = 1.0
    value_bytes: int = 256
    keys: int = 1_000
    prefix: str = "bench"
    processes: tuple[int, ...] = ()
    """Ids of processes whose CPU time to measure."""
    garbage_collection: GarbageCollection = "freeze"

    @property
    def value(self) -> bytes:
        """The value to write: random bytes, because zeros could be compressed or stored sparsely."""
        return random.Random(self.value_bytes).randbytes(self.value_bytes)

    @property
    def key_names(self) -> list[str]:
        return [f"{self.prefix}/{number:07}" for number in range(self.keys)]


class Window:
    """Results of a measurement window, which starts when the object is created."""

    def __init__(self, processes: Iterable[psutil.Process]) -> None:
        self.puts = Histogram()
        self.gets = Histogram()
        self.failed = 0
        self.unknown = 0
        self.longest_gap_ns = 0
        self._processes = tuple(processes)
        self.began = self.last_write = time.perf_counter_ns()
        self.ended = 0
        self._client_cpu = time.process_time()
        self._processes_cpu = self._cpu_seconds()
        self._collections = _collections()
        self.client_cpu = self.processes_cpu = 0.0
        self.collections = 0

    def record_write(self, began: int, ended: int) -> None:
        """Record an acknowledged write; times are readings of `time.perf_counter_ns`."""
        self.puts.record(ended - began)
        gap = ended - self.last_write
        self.longest_gap_ns = max(self.longest_gap_ns, gap)
        self.last_write = ended

    def close(self) -> None:
        """End the window now."""
        self.ended = time.perf_counter_ns()
        self.longest_gap_ns = max(self.longest_gap_ns, self.ended - self.last_write)
        self.client_cpu = time.process_time() - self._client_cpu
        self.processes_cpu = self._cpu_seconds() - self._processes_cpu
        self.collections = _collections() - self._collections

    def measurement(self, plan: Plan, error: OperationError | None = None) -> Measurement:
        """Return the measurement. Raise `OperationFailedError` with the last error if no operation succeeded."""
        both = Histogram()
        both.add(self.puts)
        both.add(self.gets)
        count = both.count
        if count == 0:
            raise OperationFailedError(
                f"{plan.mix.name}: no operation succeeded within {plan.seconds:g} s; {error or 'no reply'}"
            )
        return Measurement(
            mix=plan.mix.name,
            outstanding=plan.outstanding,
            value_bytes=plan.value_bytes,
            keys=plan.keys,
            seconds=(self.ended - self.began) / 1e9,
            all=Latencies.of(both),
            puts=Latencies.of(self.puts),
            gets=Latencies.of(self.gets),
            failed=self.failed,
            unknown=self.unknown,
            longest_gap_ms=self.longest_gap_ns / 1e6 if self.puts.longest else None,
            client_cpu_us=self.client_cpu / count * 1e6,
            processes_cpu_us=self.processes_cpu / count * 1e6 if plan.processes else None,
            collections=self.collections,
        )

    def _cpu_seconds(self) -> float:
        times = [process.cpu_times() for process in self._processes]
        return sum(each.user + each.system for each in times)


class _Load:
    """The workers, and the window in which they record."""

    def __init__(self, target: Target, plan: Plan, window: Window) -> None:
        self.window = window
        self.stopping = False
        self.last_error: OperationError | None = None
        self._target = target
        self._value = plan.value
        self._operations = plan.mix.operations(plan.key_names, plan.outstanding)

    async def work(self) -> None:
        clock, operations, value = time.perf_counter_ns, self._operations, self._value
        put, get = self._target.put, self._target.get
        while not self.stopping:
            is_write, key = next(operations)
            began = clock()
            try:
                if is_write:
                    await put(key, value)
                    self.window.record_write(began, clock())
                else:
                    await get(key)
                    self.window.gets.record(clock() - began)
            except OperationError as error:
                await self._failed(error)

    async def _failed(self, error: OperationError) -> None:
        if isinstance(error, InvalidOperationError):
            raise error
        self.last_error = error
        if isinstance(error, OutcomeUnknownError):
            self.window.unknown += 1
        else:
            self.window.failed += 1
        await asyncio.sleep(FAILURE_PAUSE_SECONDS)


async def measure(target: Target, plan: Plan) -> Measurement:
    """Keep `plan.outstanding` operations outstanding, and measure them after the warm-up.

    Raise `OperationFailedError` if none succeeds, `InvalidOperationError` if one exceeds a limit, and
    `psutil.NoSuchProcess` if a process to measure has ended.
    """
    if plan.mix.reads_percent:
        await fill(target, plan.key_names, plan.value)
    processes = [psutil.Process(number) for number in plan.processes]
    load = _Load(target, plan, Window(processes))
    with collecting(plan.garbage_collection):
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(plan.outstanding):
                    workers.create_task(load.work())
                await asyncio.sleep(plan.warm_up_seconds)
                window = load.window = Window(processes)
                await asyncio.sleep(plan.seconds)
                window.close()
                load.window = Window(())  # later replies are not counted
                load.stopping = True
        except* InvalidOperationError as group:
            invalid = group.exceptions[0]
        else:
            return window.measurement(plan, load.last_error)
    raise invalid


async def fill(
    target: Target, keys: Sequence[str], value: bytes, *, outstanding: int = FILL_OUTSTANDING, attempts: int = 3
) -> None:
    """Write every key, with up to `attempts` attempts; raise the error of the last attempt."""
    remaining = iter(keys)

    async def work() -> None:
        for key in remaining:
            for attempt in range(1, attempts + 1):
                try:
                    await target.put(key, value)
                    break
                except OperationError:
                    if attempt == attempts:
                        raise

    await asyncio.gather(*(work() for _ in range(min(outstanding, len(keys)))))


@contextlib.contextmanager
def collecting(mode: GarbageCollection) -> Iterator[None]:
    """Set the garbage collector's mode, and restore the default afterwards."""
    gc.collect()
    if mode == "freeze":
        gc.freeze()
    elif mode == "off":
        gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def _collections() -> int:
    return sum(generation["collections"] for generation in gc.get_stats())
