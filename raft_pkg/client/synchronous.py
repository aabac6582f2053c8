"""The client for programs without an event loop: the same operations, each waited for."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from raft_pkg.client.asynchronous import DEFAULT_TIMEOUT_SECONDS, AsyncRaftClient
from raft_pkg.client.commands import CompareAndSetResult, Value
from raft_pkg.client.status import ClusterStatus
from raft_pkg.errors import OperationFailedError

Result = TypeVar("Result")


class RaftClient:
    """`AsyncRaftClient` with an event loop of its own in a background thread; several threads may share it.

    Operations that several threads start at the same time travel together.
    """

    def __init__(self, endpoints: str | Sequence[str], *, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        self._client = AsyncRaftClient(endpoints, timeout=timeout)
        self._lock = threading.Lock()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="raft-client", daemon=True)
        self._thread.start()

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Addresses of the nodes, as given."""
        return self._client.endpoints

    def command(self, data: bytes, *, timeout: float | None = None) -> bytes:
        """Have the state machine apply a command; returns its answer."""
        return self._wait(self._client.command(data, timeout=timeout))

    def query(self, data: bytes, *, any_node: bool = False, timeout: float | None = None) -> bytes:
        """Ask the state machine; returns its answer. With `any_node`, any node may give it (see `get`)."""
        return self._wait(self._client.query(data, any_node=any_node, timeout=timeout))

    def put(self, key: str, value: Value, *, timeout: float | None = None) -> int:
        """Set the value of a key; returns the log index at which that was done."""
        return self._wait(self._client.put(key, value, timeout=timeout))

    def get(self, key: str, *, any_node: bool = False, timeout: float | None = None) -> bytes | None:
        """The value of a key, None when there is no such key; see `AsyncRaftClient.get`."""
        return self._wait(self._client.get(key, any_node=any_node, timeout=timeout))

    def delete(self, key: str, *, timeout: float | None = None) -> bool:
        """Remove a key; returns whether it was there."""
        return self._wait(self._client.delete(key, timeout=timeout))

    def compare_and_set(
        self, key: str, expected: Value | None, value: Value, *, timeout: float | None = None
    ) -> CompareAndSetResult:
        """Set the value of a key if it is `expected` (None: if there is no such key)."""
        return self._wait(self._client.compare_and_set(key, expected, value, timeout=timeout))

    def append(self, key: str, value: Value, *, timeout: float | None = None) -> int:
        """Add to the end of a value, creating it when it is absent; returns its new length in bytes."""
        return self._wait(self._client.append(key, value, timeout=timeout))

    def status(self, *, timeout: float = 1.0) -> ClusterStatus:
        """What each endpoint says of itself and of the leader, asked now."""
        return self._wait(self._client.status(timeout=timeout))

    def close(self) -> None:
        """End what is under way: unsent operations fail, commands that were sent have an unknown outcome."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self, operation: Coroutine[Any, Any, Result]) -> Result:
        with self._lock:
            if self._closed:
                operation.close()
                raise OperationFailedError("the client is closed")
            future = asyncio.run_coroutine_threadsafe(operation, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # such as Ctrl-C while waiting
            raise
