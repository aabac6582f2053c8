"""The client for programs without an event loop. Every method blocks until its operation completes."""

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
    """`AsyncRaftClient` in a background thread with its own event loop. Safe to share between threads.

    Arguments, results and errors are those of `AsyncRaftClient`. Concurrent operations of several threads share
    batches. Use it as a context manager, or call `close` at the end.
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
        """HOST:PORT of each node, as given."""
        return self._client.endpoints

    def command(self, data: bytes, *, timeout: float | None = None) -> bytes:
        """Apply a command, in the state machine's encoding, and return its result."""
        return self._wait(self._client.command(data, timeout=timeout))

    def query(self, data: bytes, *, any_node: bool = False, timeout: float | None = None) -> bytes:
        """Execute a read, in the state machine's encoding, and return its result. For `any_node`, see `get`."""
        return self._wait(self._client.query(data, any_node=any_node, timeout=timeout))

    def put(self, key: str, value: Value, *, timeout: float | None = None) -> int:
        """Set the value of a key; return the log index at which it was set."""
        return self._wait(self._client.put(key, value, timeout=timeout))

    def get(self, key: str, *, any_node: bool = False, timeout: float | None = None) -> bytes | None:
        """Return the value of a key, or None for an absent key. For `any_node`, see `AsyncRaftClient.get`."""
        return self._wait(self._client.get(key, any_node=any_node, timeout=timeout))

    def delete(self, key: str, *, timeout: float | None = None) -> bool:
        """Delete a key; return whether it existed."""
        return self._wait(self._client.delete(key, timeout=timeout))

    def compare_and_set(
        self, key: str, expected: Value | None, value: Value, *, timeout: float | None = None
    ) -> CompareAndSetResult:
        """Set the value of a key if its current value is `expected` (None: if the key is absent)."""
        return self._wait(self._client.compare_and_set(key, expected, value, timeout=timeout))

    def append(self, key: str, value: Value, *, timeout: float | None = None) -> int:
        """Append to the value of a key, which is created if absent; return the new length in bytes."""
        return self._wait(self._client.append(key, value, timeout=timeout))

    def status(self, *, timeout: float = 1.0) -> ClusterStatus:
        """Return the current status of every endpoint. One that does not respond in time is unreachable."""
        return self._wait(self._client.status(timeout=timeout))

    def close(self) -> None:
        """End every operation and connection, like `AsyncRaftClient.close`."""
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
            future.cancel()  # for example at Ctrl-C
            raise
