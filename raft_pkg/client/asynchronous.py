"""The client for asyncio."""

import asyncio
import random
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from raft_pkg.addresses import parse_endpoints
from raft_pkg.client import commands
from raft_pkg.client.commands import CompareAndSetResult, Value
from raft_pkg.client.dispatcher import Dispatcher
from raft_pkg.client.locator import AnyNodeLocator, LeaderLocator
from raft_pkg.client.operation import OperationResult, OperationType, PendingOperation
from raft_pkg.client.status import ClusterStatus, cluster_status
from raft_pkg.errors import OperationFailedError

DEFAULT_TIMEOUT_SECONDS = 5.0


class AsyncRaftClient:
    """Executes linearizable operations on a cluster. Any number of them may run concurrently.

    `endpoints` are the addresses of one or more nodes, as `"HOST:PORT,HOST:PORT"` or as a sequence. `timeout` is the
    default deadline of an operation, in seconds. Until its deadline an operation is sent again when it has no outcome,
    to whichever node leads. The client opens a session with its first command, so that a command is applied once,
    however often it is sent (dissertation §6.3). An operation that does not succeed raises:

    - `OperationFailedError`: it was not applied, and never will be;
    - `OutcomeUnknownError`: a command was sent and had no outcome at its deadline, or its session expired before the
      outcome was known. It may or may not have been applied, or may still be;
    - `InvalidOperationError`: it exceeds a limit, such as the size of a key or value, or the state machine rejects it.

    `put`, `get`, `delete`, `compare_and_set` and `append` need the key-value store; `command` and `query` work with
    any state machine. Use the client in a single event loop, as a context manager, or call `close` at the end.
    """

    def __init__(self, endpoints: str | Sequence[str], *, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        """Raise `ConfigurationError` for an invalid address."""
        self.endpoints = parse_endpoints(endpoints)
        self.timeout = timeout
        self._leader: Dispatcher | None = None  # for operations that the leader executes
        self._any_node: Dispatcher | None = None  # for operations that any node executes
        self._rng = random.Random()
        self._closed = False

    async def command(self, data: bytes, *, timeout: float | None = None) -> bytes:
        """Apply a command, in the state machine's encoding, and return its result."""
        return (await self._execute("command", "command", None, data, timeout)).data

    async def query(self, data: bytes, *, any_node: bool = False, timeout: float | None = None) -> bytes:
        """Execute a read, in the state machine's encoding, and return its result. For `any_node`, see `get`."""
        return (await self._execute(_query_type(any_node), "query", None, data, timeout)).data

    async def put(self, key: str, value: Value, *, timeout: float | None = None) -> int:
        """Set the value of a key; return the log index at which it was set."""
        result = await self._execute("command", "put", key, commands.put_command(key, value), timeout)
        if result.data:
            commands.decode_result(result)
        return result.index

    async def get(self, key: str, *, any_node: bool = False, timeout: float | None = None) -> bytes | None:
        """Return the value of a key, or None for an absent key.

        With `any_node`, a randomly chosen node executes the read after it has asked the leader for a read index
        (dissertation §6.4). That takes most of the work off the leader and is slightly slower.
        """
        query = commands.get_query(key)
        result = commands.decode_result(await self._execute(_query_type(any_node), "get", key, query, timeout))
        return result.value if result.found else None

    async def delete(self, key: str, *, timeout: float | None = None) -> bool:
        """Delete a key; return whether it existed."""
        return commands.decode_result(
            await self._execute("command", "delete", key, commands.delete_command(key), timeout)
        ).found

    async def compare_and_set(
        self, key: str, expected: Value | None, value: Value, *, timeout: float | None = None
    ) -> CompareAndSetResult:
        """Set the value of a key if its current value is `expected` (None: if the key is absent)."""
        command = commands.compare_and_set_command(key, expected, value)
        executed = await self._execute("command", "compare_and_set", key, command, timeout)
        result = commands.decode_result(executed)
        current = result.value if not result.found and result.HasField("value") else None
        return CompareAndSetResult(succeeded=result.found, current=current, index=executed.index)

    async def append(self, key: str, value: Value, *, timeout: float | None = None) -> int:
        """Append to the value of a key, which is created if absent; return the new length in bytes."""
        command = commands.append_command(key, value)
        return commands.decode_result(await self._execute("command", "append", key, command, timeout)).length

    async def status(self, *, timeout: float = 1.0) -> ClusterStatus:
        """Return the current status of every endpoint. One that does not respond in time is unreachable."""
        return await cluster_status(self.endpoints, timeout)

    async def close(self) -> None:
        """End every operation and connection.

        Commands that were sent raise `OutcomeUnknownError`, all other operations `OperationFailedError`.
        """
        self._closed = True
        for dispatcher in (self._leader, self._any_node):
            if dispatcher is not None:
                await dispatcher.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _execute(
        self, operation_type: OperationType, name: str, key: str | None, payload: bytes, timeout: float | None
    ) -> OperationResult:
        dispatcher = self._dispatcher(operation_type)
        operation = PendingOperation(
            operation_type,
            name,
            key,
            payload,
            timeout=self.timeout if timeout is None else timeout,
            loop=asyncio.get_running_loop(),
        )
        dispatcher.submit(operation)
        try:
            return await operation.future
        finally:
            dispatcher.forget(operation)

    def _dispatcher(self, operation_type: OperationType) -> Dispatcher:
        if self._closed:
            raise OperationFailedError("the client is closed")
        if operation_type == "any_node_query":
            if self._any_node is None:
                self._any_node = Dispatcher(AnyNodeLocator(self.endpoints, self._rng), self._rng)
            return self._any_node
        if self._leader is None:
            self._leader = Dispatcher(LeaderLocator(self.endpoints, self._rng), self._rng)
        return self._leader


def _query_type(any_node: bool) -> OperationType:
    return "any_node_query" if any_node else "query"
