"""The program of the client Pod: find the leader, write, read back, and log each step (raft_pkg/events.py)."""

import asyncio
import os
import secrets
import time
from collections.abc import Sequence

from raft_pkg.client.asynchronous import AsyncRaftClient
from raft_pkg.errors import InvalidOperationError, OperationError, OperationFailedError, OutcomeUnknownError
from raft_pkg.events import Event, EventLog

POLL_SECONDS = 0.2


class ClientProgram:
    """One run. Its keys contain the run id, so that all of them are absent at the start of its history.

    `timeout`, in seconds, limits the whole run. `expected` are keys and values of earlier runs to verify first.
    """

    def __init__(
        self,
        endpoints: str | Sequence[str],
        *,
        run_id: str | None = None,
        operations: int = 10,
        expected: Sequence[tuple[str, str]] = (),
        timeout: float = 60.0,
        log: EventLog | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._run_id = run_id or secrets.token_hex(4)
        self._operations = operations
        self._expected = expected
        self._timeout = timeout
        self._log = log or EventLog(os.environ.get("RAFT_CLIENT_NAME", "client"))
        self._started = time.monotonic()
        self._process = 0  # process number in the history; a new one after each unknown outcome
        self._term = 0
        self._outcomes = {"ok": 0, "failed": 0, "unknown": 0}
        self._mismatches = 0

    async def run(self) -> int:
        """Return the exit status: 0 success, 1 a value was wrong, 3 an operation failed or its outcome is unknown."""
        async with AsyncRaftClient(self._endpoints) as client:
            self._log.emit(Event.CLIENT_STARTED, endpoints=list(client.endpoints), run_id=self._run_id)
            if await self._find_leader(client):
                for key, value in self._expected:
                    await self._verify(client, key, value, recorded=False)
                for i in range(self._operations):
                    await self._write_and_verify(client, f"client/{self._run_id}/{i}", f"{self._run_id}-{i}")
                complete = self._outcomes["failed"] == self._outcomes["unknown"] == 0
            else:
                complete = False
        status = 1 if self._mismatches else 0 if complete else 3
        self._log.emit(
            Event.WORKLOAD_FINISHED,
            term=self._term,
            **self._outcomes,
            mismatches=self._mismatches,
            seconds=round(time.monotonic() - self._started, 3),
            exit_status=status,
        )
        return status

    async def _find_leader(self, client: AsyncRaftClient) -> bool:
        while True:
            status = await client.status()
            if status.leader_id is not None:
                self._term = status.term or 0
                self._log.emit(
                    Event.LEADER_FOUND, term=self._term, leader=status.leader_id, address=status.leader_address
                )
                return True
            if self._time_left() <= POLL_SECONDS:
                return False
            await asyncio.sleep(POLL_SECONDS)

    async def _write_and_verify(self, client: AsyncRaftClient, key: str, value: str) -> None:
        self._record("invoke", "write", key, value)
        try:
            index = await client.put(key, value, timeout=self._time_left())
        except OperationError as error:
            self._record_error("write", key, value, error)
            return
        self._record("ok", "write", key, value)
        self._outcomes["ok"] += 1
        self._log.emit(Event.WRITE_ACKNOWLEDGED, term=self._term, key=key, value=value, index=index)
        await self._verify(client, key, value, recorded=True)

    async def _verify(self, client: AsyncRaftClient, key: str, expected: str, *, recorded: bool) -> None:
        """Read a key and compare. Keys of earlier runs are not recorded: their writes are not in this history."""
        if recorded:
            self._record("invoke", "read", key, None)
        try:
            value = await client.get(key, timeout=self._time_left())
        except OperationError as error:
            self._record_error("read", key, None, error, recorded=recorded)
            return
        actual = None if value is None else value.decode(errors="replace")
        self._outcomes["ok"] += 1
        if recorded:
            self._record("ok", "read", key, actual)
        if actual == expected:
            self._log.emit(Event.READ_VERIFIED, term=self._term, key=key, value=actual)
        else:
            self._mismatches += 1
            self._log.emit(Event.READ_MISMATCH, term=self._term, key=key, expected=expected, actual=actual)

    def _record_error(
        self, f: str, key: str, value: str | None, error: OperationError, *, recorded: bool = True
    ) -> None:
        known = isinstance(error, OperationFailedError | InvalidOperationError)
        assert known or isinstance(error, OutcomeUnknownError)
        self._outcomes["failed" if known else "unknown"] += 1
        if recorded:
            self._record("fail" if known else "info", f, key, value, str(error))
        if not known:
            self._process += 1

    def _record(self, line_type: str, f: str, key: str, value: str | None, error: str | None = None) -> None:
        """Write one line of the history (docs/reference/history.md)."""
        self._log.emit(
            Event.OPERATION,
            term=self._term,
            time=time.time_ns(),
            process=self._process,
            type=line_type,
            f=f,
            key=key,
            value=value,
            **({} if error is None else {"error": error}),
        )

    def _time_left(self) -> float:
        return max(0.001, self._started + self._timeout - time.monotonic())
