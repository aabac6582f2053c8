"""The client for asyncio."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from raft_pkg.addresses import parse_endpoints
from raft_pkg.client import commands
from raft_pkg.client.commands import CompareAndSetResult, Value
from raft_pkg.client.dispatcher import Dispatcher
from raft_pkg.client.operation import Operation
from raft_pkg.client.status import ClusterStatus, cluster_status
from raft_pkg.errors import OperationFailedError
from raft_pkg.rpc import raft_pb2 as pb

DEFAULT_TIMEOUT_SECONDS = 5.0


class AsyncRaftClient:
    """Operations on the key-value store of a cluster, each linearizable; any number may be under way at a time.

    Each operation has a deadline (`timeout`, in seconds). Within it the client finds the leader, and tries again what
    surely did not happen. An operation that does not succeed raises:

    - `OperationFailedError`: it surely did not happen;
    - `OutcomeUnknownError`: a write that may have happened, or may still happen; it is never sent again;
    - `InvalidOperationError`: its key or value breaks a limit.

    Use it in one event loop, as a context manager, or call `close` in the end.
    """

    def __init__(self, endpoints: str | Sequence[str], *, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        self.endpoints = parse_endpoints(endpoints)
        self.timeout = timeout
        self._dispatcher: Dispatcher | None = None
        self._closed = False

    async def put(self, key: str, value: Value, *, timeout: float | None = None) -> int:
        """Set the value of a key; returns the log index at which that was done."""
        outcome = await self._execute("put", key, commands.put_command(key, value), timeout)
        if outcome.result:
            commands.result_of(outcome)
        return outcome.index

    async def get(self, key: str, *, timeout: float | None = None) -> bytes | None:
        """The value of a key, None when there is no such key."""
        query = commands.get_query(key)
        result = commands.result_of(await self._execute("get", key, query, timeout, is_read=True))
        return result.value if result.found else None

    async def delete(self, key: str, *, timeout: float | None = None) -> bool:
        """Remove a key; returns whether it was there."""
        return commands.result_of(await self._execute("delete", key, commands.delete_command(key), timeout)).found

    async def compare_and_set(
        self, key: str, expected: Value | None, value: Value, *, timeout: float | None = None
    ) -> CompareAndSetResult:
        """Set the value of a key if it is `expected` (None: if there is no such key)."""
        command = commands.compare_and_set_command(key, expected, value)
        outcome = await self._execute("compare_and_set", key, command, timeout)
        result = commands.result_of(outcome)
        current = result.value if not result.found and result.HasField("value") else None
        return CompareAndSetResult(succeeded=result.found, current=current, index=outcome.index)

    async def append(self, key: str, value: Value, *, timeout: float | None = None) -> int:
        """Add to the end of a value, creating it when it is absent; returns its new length in bytes."""
        command = commands.append_command(key, value)
        return commands.result_of(await self._execute("append", key, command, timeout)).length

    async def status(self, *, timeout: float = 1.0) -> ClusterStatus:
        """What each endpoint says of itself and of the leader, asked now."""
        return await cluster_status(self.endpoints, timeout)

    async def close(self) -> None:
        """End what is under way: unsent operations fail, writes that were sent have an unknown outcome."""
        self._closed = True
        if self._dispatcher is not None:
            await self._dispatcher.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _execute(
        self, name: str, key: str, payload: bytes, timeout: float | None, *, is_read: bool = False
    ) -> pb.Outcome:
        dispatcher = self._dispatcher or self._start()
        operation = Operation(
            name,
            key,
            payload,
            is_read=is_read,
            timeout=self.timeout if timeout is None else timeout,
            loop=asyncio.get_running_loop(),
        )
        dispatcher.submit(operation)
        try:
            return await operation.future
        finally:
            dispatcher.forget(operation)

    def _start(self) -> Dispatcher:
        if self._closed:
            raise OperationFailedError("the client is closed")
        self._dispatcher = Dispatcher(self.endpoints)
        return self._dispatcher
