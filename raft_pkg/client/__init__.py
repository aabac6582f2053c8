"""The client library: `AsyncRaftClient` for asyncio, `RaftClient` for programs without an event loop."""

from raft_pkg.client.asynchronous import AsyncRaftClient
from raft_pkg.client.commands import CompareAndSetResult
from raft_pkg.client.status import ClusterStatus, NodeStatus
from raft_pkg.client.synchronous import RaftClient
from raft_pkg.errors import InvalidOperationError, OperationError, OperationFailedError, OutcomeUnknownError

__all__ = [
    "AsyncRaftClient",
    "ClusterStatus",
    "CompareAndSetResult",
    "InvalidOperationError",
    "NodeStatus",
    "OperationError",
    "OperationFailedError",
    "OutcomeUnknownError",
    "RaftClient",
]
