"""The measuring process: `python -m tests.benchmarks.driver`, a worker that serves one request at a time.

It is a separate process, so that its garbage collector, event loop and CPU time are those of the client alone.
"""

import asyncio
import os
import sys
import time
from typing import Any, NoReturn

from raft_pkg.errors import OperationError
from raft_testbed.bench import Plan, Target, fill, measure, parse_mix
from tests.benchmarks.errors import BenchmarkError
from tests.benchmarks.processes import reply, serve_requests
from tests.benchmarks.targets import connected

PROBE_SECONDS = 0.002
"""Interval between two writes of a probe. Each starts on time, whatever the state of earlier ones."""
PROBES_PENDING_MAX = 5_000


def plan_from(request: dict[str, Any]) -> Plan:
    """Return the plan in a request."""
    return Plan(**{**request, "mix": parse_mix(request["mix"]), "processes": tuple(request.get("processes", ()))})


async def _measure(system: str, endpoints: list[str], plan: dict[str, Any]) -> dict[str, Any]:
    parsed = plan_from(plan)
    async with connected(system, endpoints, any_node=parsed.mix.any_node) as target:
        return (await measure(target, parsed)).to_json()


async def _fill(system: str, endpoints: list[str], plan: dict[str, Any]) -> dict[str, Any]:
    parsed = plan_from(plan)
    began = time.monotonic()
    async with connected(system, endpoints) as target:
        await fill(target, parsed.key_names, parsed.value, outstanding=parsed.outstanding)
    return {"seconds": time.monotonic() - began}


async def _probe(system: str, endpoints: list[str], plan: dict[str, Any]) -> NoReturn:
    """Write at a constant rate until a line arrives on stdin.

    Reply when writing starts, when the first write is acknowledged, and at the end with (start, acknowledgement) of
    each successful write, in nanoseconds of the monotonic clock. Then end the process.
    """
    parsed = plan_from(plan)
    done: list[tuple[int, int]] = []
    names = parsed.mix.operations(parsed.key_names, 0)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stopping.set)

    async def write(target: Target) -> None:
        began = time.monotonic_ns()
        try:
            await target.put(next(names)[1], parsed.value)
        except OperationError:
            return
        done.append((began, time.monotonic_ns()))
        if len(done) == 1:
            reply({"acknowledged": True})

    async with connected(system, endpoints) as target:
        reply({"started": True})
        writes: set[asyncio.Task[None]] = set()
        while not stopping.is_set():
            if len(writes) < PROBES_PENDING_MAX:
                task = asyncio.create_task(write(target))
                writes.add(task)
                task.add_done_callback(writes.discard)
            await asyncio.sleep(PROBE_SECONDS)
        reply(done)
        os._exit(0)  # gRPC can't close a channel to a paused node


def handle(request: dict[str, Any]) -> Any:
    """Execute a request and return its result."""
    work = {"measure": _measure, "fill": _fill, "probe": _probe}[request["do"]]
    try:
        return asyncio.run(work(request["system"], request["endpoints"], request["plan"]))
    except OperationError as error:
        raise BenchmarkError(str(error)) from None


if __name__ == "__main__":
    serve_requests(handle)
