"""The gRPC services for clients, over anything that can complete their requests: a Raft node, or an adapter."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Protocol

import grpc.aio

from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc import raft_pb2_grpc
from raft_pkg.rpc.requests import outcome_count, request_count, single_result

OUTCOME_BATCH_BYTES_MAX = 2 * 1024 * 1024
"""An OutcomeBatch of this size is not extended. With one more outcome it stays below 4 MiB, gRPC's default limit."""
WAITING_OUTCOMES_BYTES_MAX = 16 * 1024 * 1024
"""While this many bytes of outcomes wait for a slow client, no more requests are read from its stream."""
OUTCOME_OVERHEAD_BYTES = 64
"""Bytes that each outcome counts for, in addition to its encoded size."""

Context = grpc.aio.ServicerContext[Any, Any]


class Waiter(Protocol):
    """Receives the outcomes of requests: a client's stream, or a unary call."""

    def complete(self, outcome: pb.Outcome) -> None:
        """Accept the outcome of one request or of several; `flush` follows."""
        ...

    def flush(self) -> None:
        """Send the outcomes: this iteration of the event loop has no more."""
        ...


class RequestHandler(Protocol):
    """Completes the requests of clients: a Raft node, or an adapter of another system."""

    def submit(
        self, waiter: Waiter, requests: Sequence[pb.Request], *, session_id: int = 0, acknowledged: int = 0
    ) -> None:
        """Start the requests; each gets exactly one outcome, in any order."""
        ...

    async def while_running(self, work: Coroutine[Any, Any, None]) -> None:
        """Await `work`, and cancel it when the handler stops."""
        ...


class StreamWaiter:
    """Collects the outcomes for one client's stream, and sends those of an iteration in as few messages as fit."""

    def __init__(self) -> None:
        self._outcomes: deque[pb.Outcome] = deque()
        self._outcome_bytes = 0
        self._in_flight = 0
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False

    def expect(self, count: int) -> None:
        """Count requests that were read; an outcome of each follows."""
        self._in_flight += count

    def complete(self, outcome: pb.Outcome) -> None:
        """Accept the outcome of one request or of several."""
        self._in_flight -= outcome_count(outcome)
        self._outcomes.append(outcome)
        self._outcome_bytes += _size(outcome)
        if self._outcome_bytes >= WAITING_OUTCOMES_BYTES_MAX:
            self._room.clear()

    def flush(self) -> None:
        """Wake the writer."""
        self._ready.set()

    def close(self) -> None:
        """Note that the client sends no more requests."""
        self._closed = True
        self._ready.set()

    async def room(self) -> None:
        """Wait until the bytes of unsent outcomes are below the limit."""
        await self._room.wait()

    async def next_batch(self) -> pb.OutcomeBatch | None:
        """Wait for outcomes; return None when the stream is closed and every outcome has been returned."""
        while not self._outcomes:
            if self._closed and not self._in_flight:
                return None
            self._ready.clear()
            await self._ready.wait()
        return self._take_batch()

    def _take_batch(self) -> pb.OutcomeBatch:
        batch, size = [], 0
        while self._outcomes and size < OUTCOME_BATCH_BYTES_MAX:
            outcome = self._outcomes.popleft()
            size += _size(outcome)
            batch.append(outcome)
        self._outcome_bytes -= size
        if self._outcome_bytes < WAITING_OUTCOMES_BYTES_MAX:
            self._room.set()
        return pb.OutcomeBatch(outcomes=batch)


def _size(outcome: pb.Outcome) -> int:
    return outcome.ByteSize() + OUTCOME_OVERHEAD_BYTES


class CommandStreamService(raft_pb2_grpc.CommandStreamServicer):
    """Serves batches of commands and queries on one stream per client."""

    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler

    async def Run(  # noqa: N802
        self, batches: AsyncIterator[pb.RequestBatch], _context: Context
    ) -> AsyncIterator[pb.OutcomeBatch]:
        """See raft.proto."""
        waiter = StreamWaiter()
        reader = asyncio.create_task(self._handler.while_running(self._read(batches, waiter)))
        try:
            while (batch := await waiter.next_batch()) is not None:
                yield batch
        finally:
            reader.cancel()

    async def _read(self, batches: AsyncIterator[pb.RequestBatch], waiter: StreamWaiter) -> None:
        try:
            async for batch in batches:
                waiter.expect(sum(map(request_count, batch.requests)))
                self._handler.submit(
                    waiter, batch.requests, session_id=batch.session_id, acknowledged=batch.acknowledged_below
                )
                await waiter.room()
        finally:
            waiter.close()


class UnaryWaiter:
    """Waits for the outcome of one request."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[pb.Outcome] = asyncio.get_running_loop().create_future()

    def complete(self, outcome: pb.Outcome) -> None:
        """Resolve the future, unless the call was cancelled meanwhile."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def flush(self) -> None:
        """Do nothing: the future wakes the call."""


class UnaryCalls:
    """Runs one command or query per unary gRPC call. Services of a state machine of one's own are built on this.

    Both methods return the state machine's result and the log index at which it was applied or read. Without a result
    they abort the call: FAILED_PRECONDITION (not the leader; metadata "raft-leader-id" and "raft-leader-address" name
    the leader when it is known), INVALID_ARGUMENT, RESOURCE_EXHAUSTED (the proposal queue is full) or UNAVAILABLE. The
    trailing metadata "raft-outcome" is "failed" when the operation was definitely not executed, else "unknown".
    """

    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler

    async def command(self, command: bytes, context: Context) -> tuple[bytes, int]:
        """Replicate a command and apply it."""
        return await self._run(pb.Request(commands=[command]), context)

    async def query(self, query: bytes, context: Context) -> tuple[bytes, int]:
        """Answer a query, linearizably."""
        return await self._run(pb.Request(queries=[query]), context)

    async def _run(self, request: pb.Request, context: Context) -> tuple[bytes, int]:
        waiter = UnaryWaiter()
        self._handler.submit(waiter, [request])
        outcome = await waiter.outcome
        if outcome.code != pb.OUTCOME_CODE_OK:
            happened = "unknown" if outcome.code == pb.OUTCOME_CODE_UNKNOWN else "failed"
            metadata = (("raft-outcome", happened), *leader_metadata(outcome))
            await context.abort(_STATUS[outcome.code], outcome.message, metadata)
        return single_result(outcome), outcome.index


def leader_metadata(known: pb.Outcome | pb.StatusResponse) -> tuple[tuple[str, str], ...]:
    """Return trailing metadata that name the leader; empty when the leader is not known."""
    if not known.leader_id:
        return ()
    return (("raft-leader-id", known.leader_id), ("raft-leader-address", known.leader_address))


_STATUS = {
    pb.OUTCOME_CODE_NOT_LEADER: grpc.StatusCode.FAILED_PRECONDITION,
    pb.OUTCOME_CODE_INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    pb.OUTCOME_CODE_BUSY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    pb.OUTCOME_CODE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    pb.OUTCOME_CODE_UNKNOWN: grpc.StatusCode.UNAVAILABLE,
    pb.OUTCOME_CODE_SESSION_EXPIRED: grpc.StatusCode.FAILED_PRECONDITION,
}
