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
from raft_pkg.client.operation import Answer, Operation, RequestType
from raft_pkg.client.status import ClusterStatus, cluster_status
from raft_pkg.errors import OperationFailedError

DEFAULT_TIMEOUT_SECONDS = 5.0


class AsyncRaftClient:
    """Operations on what a cluster replicates, each linearizable; any number may be under way at a time.

    Each operation has a deadline (`timeout`, in seconds). Within it the client finds the leader, and sends again what
    has no answer: a client has a session with the cluster, in which each command is applied once, however often it is
    sent (dissertation §6.3). It is opened by the first command. An operation that does not succeed raises:

    - `OperationFailedError`: it surely did not happen;
    - `OutcomeUnknownError`: a command that was sent, and had no answer at its deadline, or whose session expired
      before the answer came. It may have been applied, or may still be;
    - `InvalidOperationError`: it breaks a limit, such as that of a key or value.

    `put`, `get`, `delete`, `compare_and_set` and `append` are for the key-value store; `command` and `query` for any
    state machine. Use it in one event loop, as a context manager, or call `close` in the end.
    """

    def __init__(self, endpoints: str | Sequence[str], *, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        self.endpoints = parse_endpoints(endpoints)
        self.timeout = timeout
        self._leader: Dispatcher | None = None  # of what goes to the leader
        self._any_node: Dispatcher | None = None  # of what goes to any node
        self._chance = random.Random()
        self._closed = False

    async def command(self, data: bytes, *, timeout: float | None = None) -> bytes:
        """Have the state machine apply a command; returns its answer."""
        return (await self._execute("command", "command", None, data, timeout)).result

    async def query(self, data: bytes, *, any_node: bool = False, timeout: float | None = None) -> bytes:
        """Ask the state machine; returns its answer. With `any_node`, any node may give it (see `get`)."""
        return (await self._execute(_query_kind(any_node), "query", None, data, timeout)).result

    async def put(self, key: str, value: Value, *, timeout: float | None = None) -> int:
        """Set the value of a key; returns the log index at which that was done."""
        answer = await self._execute("command", "put", key, commands.put_command(key, value), timeout)
        if answer.result:
            commands.result_of(answer)
        return answer.index

    async def get(self, key: str, *, any_node: bool = False, timeout: float | None = None) -> bytes | None:
        """The value of a key, None when there is no such key.

        With `any_node`, a node that the client chose by chance answers, once the leader has told it how far it must
        see (dissertation §6.4). That spares the leader most of the work, and takes somewhat longer.
        """
        query = commands.get_query(key)
        result = commands.result_of(await self._execute(_query_kind(any_node), "get", key, query, timeout))
        return result.value if result.found else None

    async def delete(self, key: str, *, timeout: float | None = None) -> bool:
        """Remove a key; returns whether it was there."""
        return commands.result_of(
            await self._execute("command", "delete", key, commands.delete_command(key), timeout)
        ).found

    async def compare_and_set(
        self, key: str, expected: Value | None, value: Value, *, timeout: float | None = None
    ) -> CompareAndSetResult:
        """Set the value of a key if it is `expected` (None: if there is no such key)."""
        command = commands.compare_and_set_command(key, expected, value)
        answer = await self._execute("command", "compare_and_set", key, command, timeout)
        result = commands.result_of(answer)
        current = result.value if not result.found and result.HasField("value") else None
        return CompareAndSetResult(succeeded=result.found, current=current, index=answer.index)

    async def append(self, key: str, value: Value, *, timeout: float | None = None) -> int:
        """Add to the end of a value, creating it when it is absent; returns its new length in bytes."""
        command = commands.append_command(key, value)
        return commands.result_of(await self._execute("command", "append", key, command, timeout)).length

    async def status(self, *, timeout: float = 1.0) -> ClusterStatus:
        """What each endpoint says of itself and of the leader, asked now."""
        return await cluster_status(self.endpoints, timeout)

    async def close(self) -> None:
        """End what is under way: unsent operations fail, commands that were sent have an unknown outcome."""
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
        self, kind: RequestType, name: str, key: str | None, payload: bytes, timeout: float | None
    ) -> Answer:
        dispatcher = self._dispatcher(kind)
        operation = Operation(
            kind,
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

    def _dispatcher(self, kind: RequestType) -> Dispatcher:
        """Who takes care of such an operation; begins with the first one."""
        if self._closed:
            raise OperationFailedError("the client is closed")
        if kind == "any_node_query":
            if self._any_node is None:
                self._any_node = Dispatcher(AnyNodeLocator(self.endpoints, self._chance), self._chance)
            return self._any_node
        if self._leader is None:
            self._leader = Dispatcher(LeaderLocator(self.endpoints, self._chance), self._chance)
        return self._leader


def _query_kind(any_node: bool) -> RequestType:
    return "any_node_query" if any_node else "query"
