"""One client of a workload."""

import asyncio

from raft_pkg.client.asynchronous import AsyncRaftClient
from raft_pkg.errors import InvalidOperationError, OperationError, OperationFailedError
from raft_testbed.history import MISMATCH, Value
from raft_testbed.workload.generator import KeySpace, OperationGenerator
from raft_testbed.workload.pacer import Pacer
from raft_testbed.workload.recorder import Recorder

FAILURE_PAUSE_SECONDS = 0.01
"""Pause of a client after a failure, so that it does not retry in a busy loop."""


class WorkloadClient:
    """Executes one operation at a time, and records each call before it sends the request."""

    def __init__(
        self,
        connection: AsyncRaftClient,
        *,
        generator: OperationGenerator,
        space: KeySpace,
        recorder: Recorder,
        timeout: float,
        pacer: Pacer,
        finishing: asyncio.Event,
    ) -> None:
        self._connection = connection
        self._generator = generator
        self._space = space
        self._recorder = recorder
        self._timeout = timeout
        self._pacer = pacer
        self._finishing = finishing
        self._process = recorder.new_process()

    async def run(self) -> None:
        """Execute generated operations until `finishing` is set."""
        while True:
            await self._pacer.wait()
            if self._finishing.is_set():
                return
            if not await self.execute(*self._generator.next()):
                await asyncio.sleep(FAILURE_PAUSE_SECONDS)

    async def execute(self, f: str, key: str, value: Value) -> bool:
        """Execute and record one operation; return whether it was successful or a cas mismatch."""
        self._recorder.call(self._process, f, key, value)
        try:
            outcome, output, error = await self._send(f, key, value)
        except (OperationFailedError, InvalidOperationError) as failure:
            outcome, output, error = "fail", value, str(failure)
        except OperationError as unknown:
            outcome, output, error = "info", value, str(unknown)
        except asyncio.CancelledError:
            self._recorder.outcome(self._process, "info", f, key, value, error="interrupted")
            raise
        self._recorder.outcome(self._process, outcome, f, key, output, error=error)
        if outcome == "info":
            self._process = self._recorder.new_process()
        return outcome == "ok" or error == MISMATCH

    async def _send(self, f: str, key: str, value: Value) -> tuple[str, Value, str | None]:
        """Send a request and return outcome, value and error, in the form of a history."""
        connection, timeout, observed = self._connection, self._timeout, self._space.observed
        if f == "read":
            found = await connection.get(key, timeout=timeout)
            observed[key] = None if found is None else found.decode()
            return "ok", observed[key], None
        if isinstance(value, list):
            old, new = value
            assert new is not None
            result = await connection.compare_and_set(key, old, new, timeout=timeout)
            observed[key] = new if result else None if result.current is None else result.current.decode()
            return ("ok", value, None) if result else ("fail", value, MISMATCH)
        if f == "delete":
            await connection.delete(key, timeout=timeout)
            observed[key] = None
            return "ok", None, None
        assert value is not None
        if f == "write":
            await connection.put(key, value, timeout=timeout)
            observed[key] = value
        else:
            await connection.append(key, value, timeout=timeout)
        return "ok", value, None
