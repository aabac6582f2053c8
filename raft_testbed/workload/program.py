"""The program of `raftctl workload`: concurrent clients at a given rate, then a final read of every key."""

import asyncio
import contextlib
import time

from raft_pkg.client.asynchronous import AsyncRaftClient
from raft_pkg.events import Event
from raft_testbed.workload.client import WorkloadClient
from raft_testbed.workload.generator import KeySpace, OperationGenerator
from raft_testbed.workload.pacer import Pacer
from raft_testbed.workload.recorder import Recorder
from raft_testbed.workload.settings import Settings

FINAL_READ_PAUSE_SECONDS = 0.2


class Workload:
    """One run of a workload. `finish` and `interrupt` may be called from the event loop at any time."""

    def __init__(self, settings: Settings, recorder: Recorder) -> None:
        self._settings = settings
        self._recorder = recorder
        self._space = KeySpace(settings.run_id, settings.keys)
        self._finishing = asyncio.Event()
        self._interrupted: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._pacer = Pacer(settings.rate)
        self._final_reads_done: bool | None = None
        """Whether all final reads succeeded; None: they were not requested, or not started."""

    async def run(self) -> int:
        """Run to the end and return the exit status.

        0: done. 3: interrupted, no operation succeeded, or a final read is missing.
        """
        began = time.monotonic()
        self._recorder.event(Event.WORKLOAD_STARTED, **self._settings.to_json())
        self._task = asyncio.create_task(self._run_phases())
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

    def finish(self) -> None:
        """Start no new operations; complete the pending ones and the final reads."""
        self._finishing.set()

    def interrupt(self, reason: str) -> None:
        """End immediately; pending operations become indeterminate."""
        self._interrupted = reason
        assert self._task is not None
        self._task.cancel()

    async def _run_phases(self) -> None:
        settings = self._settings
        async with contextlib.AsyncExitStack() as stack:
            # One connection per client: some may still use a deposed leader while others use its successor.
            connections = [
                await stack.enter_async_context(AsyncRaftClient(settings.endpoints)) for _ in range(settings.clients)
            ]
            clients = [self._client(number, connection) for number, connection in enumerate(connections)]
            timer = asyncio.get_running_loop().call_later(settings.seconds, self.finish) if settings.seconds else None
            async with asyncio.TaskGroup() as group:
                for client in clients:
                    group.create_task(client.run())
            if timer is not None:
                timer.cancel()
            if settings.final_reads:
                self._recorder.event(Event.FINAL_READS_STARTED, keys=settings.keys)
                self._final_reads_done = False
                self._final_reads_done = await self._read_every_key(clients[0])

    def _client(self, number: int, connection: AsyncRaftClient) -> WorkloadClient:
        settings = self._settings
        mix = {"read": 1} if number < settings.readers else settings.mix
        return WorkloadClient(
            connection,
            generator=OperationGenerator(settings.seed, number, self._space, mix, settings.value_bytes),
            space=self._space,
            recorder=self._recorder,
            timeout=settings.timeout,
            pacer=self._pacer,
            finishing=self._finishing,
        )

    async def _read_every_key(self, client: WorkloadClient) -> bool:
        deadline = time.monotonic() + self._settings.final_reads_seconds_max
        for key in self._space.keys:
            while not await client.execute("read", key, None):
                if time.monotonic() >= deadline:
                    return False
                await asyncio.sleep(FINAL_READ_PAUSE_SECONDS)
        return True
