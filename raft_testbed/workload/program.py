"""The program of `raftctl workload`: concurrent clients at a rate, in the end a read of every key."""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raft_pkg.client.asynchronous import AsyncRaftClient
from raft_pkg.errors import InvalidOperationError, OperationError, OperationFailedError
from raft_pkg.events import Event
from raft_testbed.history import MISMATCH, Value
from raft_testbed.workload.choice import DEFAULT_MIX, Choice, KeySpace
from raft_testbed.workload.recorder import Recorder

FINAL_READ_PAUSE_SECONDS = 0.2
FAILURE_PAUSE_SECONDS = 0.01
"""A client's pause after a failure, so that a cluster that refuses everything isn't asked without end."""
BURST_SECONDS = 0.1
"""How far a workload that was held up may catch up with its rate."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is to be done."""

    endpoints: Sequence[str]
    run_id: str
    """Beginning of every key: no other run may have used it."""
    clients: int = 5
    readers: int = 0
    """So many of the clients only read: they stay with a leader that others leave because it acknowledges nothing."""
    rate: float = 0.0
    """Operations a second of all clients together; 0: as fast as it goes."""
    seconds: float = 10.0
    """How long clients begin operations; 0: until they are told that it is enough."""
    keys: int = 5
    seed: int = 0
    mix: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_MIX))
    value_bytes: int = 0
    """Least length of a value; what makes it unique takes some 5 to 10."""
    timeout: float = 2.0
    """Deadline of each operation, in seconds."""
    final_reads: bool = True
    final_reads_seconds_max: float = 30.0
    """How long the final reads may wait for a leader, all together."""

    def to_json(self) -> dict[str, Any]:
        return {
            "endpoints": list(self.endpoints),
            "run_id": self.run_id,
            "clients": self.clients,
            "readers": self.readers,
            "rate": self.rate,
            "duration_seconds": self.seconds,
            "keys": self.keys,
            "seed": self.seed,
            "mix": dict(self.mix),
            "value_bytes": self.value_bytes,
            "timeout_seconds": self.timeout,
        }


class Workload:
    """One run; `enough` and `interrupt` may be called from the loop at any time."""

    def __init__(self, settings: Settings, recorder: Recorder) -> None:
        self._settings = settings
        self._recorder = recorder
        self._space = KeySpace(settings.run_id, settings.keys)
        self._enough = asyncio.Event()
        self._interrupted: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._pace = _Pace(settings.rate)
        self._final_reads_done: bool | None = None  # None: there were to be none, or it did not come to that

    async def run(self) -> int:
        """Returns the exit status: 0 done, 3 interrupted, nothing succeeded, or a final read is missing."""
        began = time.monotonic()
        self._recorder.event(Event.WORKLOAD_STARTED, **self._settings.to_json())
        self._task = asyncio.create_task(self._all())
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        outcomes = self._recorder.outcomes
        complete = self._interrupted is None and outcomes["ok"] > 0 and self._final_reads_done is not False
        status = 0 if complete else 3
        self._recorder.event(
            Event.WORKLOAD_FINISHED,
            ok=outcomes["ok"],
            failed=outcomes["fail"],
            unknown=outcomes["info"],
            cas_mismatches=outcomes["mismatch"],
            final_reads=self._final_reads_done,
            interrupted=self._interrupted,
            seconds=round(time.monotonic() - began, 3),
            exit_status=status,
        )
        return status

    def enough(self) -> None:
        """No new operations; those under way end, and the final reads follow."""
        self._enough.set()

    def interrupt(self, reason: str) -> None:
        """End now: nobody knows what becomes of the operations under way."""
        self._interrupted = reason
        assert self._task is not None
        self._task.cancel()

    async def _all(self) -> None:
        settings = self._settings
        async with contextlib.AsyncExitStack() as stack:
            # Each client has its own connections: so one may still ask a deposed leader when others have a new one.
            connections = [
                await stack.enter_async_context(AsyncRaftClient(settings.endpoints)) for _ in range(settings.clients)
            ]
            clients = [self._client(number, connection) for number, connection in enumerate(connections)]
            ending = asyncio.get_running_loop().call_later(settings.seconds, self.enough) if settings.seconds else None
            async with asyncio.TaskGroup() as group:
                for client in clients:
                    group.create_task(client.run())
            if ending is not None:
                ending.cancel()
            if settings.final_reads:
                self._recorder.event(Event.FINAL_READS_STARTED, keys=settings.keys)
                self._final_reads_done = False
                self._final_reads_done = await self._read_everything(clients[0])

    def _client(self, number: int, connection: AsyncRaftClient) -> "_Client":
        settings = self._settings
        mix = {"read": 1} if number < settings.readers else settings.mix
        choice = Choice(settings.seed, number, self._space, mix, settings.value_bytes)
        return _Client(
            connection,
            choice=choice,
            space=self._space,
            recorder=self._recorder,
            timeout=settings.timeout,
            pace=self._pace,
            enough=self._enough,
        )

    async def _read_everything(self, client: "_Client") -> bool:
        deadline = time.monotonic() + self._settings.final_reads_seconds_max
        for key in self._space.keys:
            while not await client.execute("read", key, None):
                if time.monotonic() >= deadline:
                    return False
                await asyncio.sleep(FINAL_READ_PAUSE_SECONDS)
        return True


class _Pace:
    """Turns at an even rate, over all clients."""

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._next = time.monotonic()

    async def run_iteration(self) -> None:
        """Wait for the next turn. Turns that nobody could take are lost, but for a short burst."""
        if not self._interval:
            return
        now = time.monotonic()
        mine = self._next = max(self._next, now - BURST_SECONDS)
        self._next += self._interval
        if mine > now:
            await asyncio.sleep(mine - now)


class _Client:
    """One client: an operation at a time, each in the record before it is sent."""

    def __init__(
        self,
        connection: AsyncRaftClient,
        *,
        choice: Choice,
        space: KeySpace,
        recorder: Recorder,
        timeout: float,
        pace: _Pace,
        enough: asyncio.Event,
    ) -> None:
        self._connection = connection
        self._choice = choice
        self._space = space
        self._recorder = recorder
        self._timeout = timeout
        self._pace = pace
        self._enough = enough
        self._process = recorder.new_process()

    async def run(self) -> None:
        """Operations until it is enough."""
        while True:
            await self._pace.run_iteration()
            if self._enough.is_set():
                return
            if not await self.execute(*self._choice.next()):
                await asyncio.sleep(FAILURE_PAUSE_SECONDS)

    async def execute(self, f: str, key: str, value: Value) -> bool:
        """One operation, with its record; returns whether the cluster answered it."""
        self._recorder.call(self._process, f, key, value)
        try:
            kind, output, error = await self._send(f, key, value)
        except (OperationFailedError, InvalidOperationError) as failure:
            kind, output, error = "fail", value, str(failure)
        except OperationError as unknown:
            kind, output, error = "info", value, str(unknown)
        except asyncio.CancelledError:
            self._recorder.outcome(self._process, "info", f, key, value, error="interrupted")
            raise
        self._recorder.outcome(self._process, kind, f, key, output, error=error)
        if kind == "info":
            self._process = self._recorder.new_process()
        return kind == "ok" or error == MISMATCH

    async def _send(self, f: str, key: str, value: Value) -> tuple[str, Value, str | None]:
        """The outcome's type, value and error, as a history has them."""
        connection, timeout, seen = self._connection, self._timeout, self._space.seen
        if f == "read":
            found = await connection.get(key, timeout=timeout)
            seen[key] = None if found is None else found.decode()
            return "ok", seen[key], None
        if isinstance(value, list):
            old, new = value
            assert new is not None
            result = await connection.compare_and_set(key, old, new, timeout=timeout)
            seen[key] = new if result else None if result.current is None else result.current.decode()
            return ("ok", value, None) if result else ("fail", value, MISMATCH)
        if f == "delete":
            await connection.delete(key, timeout=timeout)
            seen[key] = None
            return "ok", None, None
        assert value is not None
        if f == "write":
            await connection.put(key, value, timeout=timeout)
            seen[key] = value
        else:
            await connection.append(key, value, timeout=timeout)
        return "ok", value, None
