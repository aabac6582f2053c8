"""One command stream to one node, and the operations in flight on it.

A connection writes what it is given and returns what the node sends. Which operations it is given, and what their
outcomes mean, is decided by the dispatcher.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import grpc

from raft_pkg.client.channel import open_channel
from raft_pkg.client.operation import PendingOperation
from raft_pkg.client.session import ClientSession
from raft_pkg.errors import RaftError
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.dial import describe_status
from raft_pkg.rpc.requests import outcome_count

if TYPE_CHECKING:
    from google.protobuf.message import Message

    Call = grpc.aio.StreamStreamCall[Message, pb.OutcomeBatch]

PAUSE_SECONDS = 0.5
"""A node is not held responsible for what it did not complete before a pause of this length."""
BATCH_OPERATIONS_MAX = 1024
SPLIT_OPERATIONS = 128
"""Of more operations, half is written at a time, so that client and nodes work concurrently instead of in turn."""
IN_FLIGHT_OPERATIONS_MAX = 16384


class StreamEndedError(RaftError):
    """The command stream has ended; the message says why."""


class Connection:
    """A command stream to the node at `address`."""

    def __init__(self, address: str, channel: grpc.aio.Channel) -> None:
        self.address = address
        self._channel = channel
        self._call = _start_stream(channel)
        self._loop = asyncio.get_running_loop()
        self._in_flight: dict[int, PendingOperation] = {}
        self._last_id = 0
        self._wakeup: asyncio.Future[None] | None = None
        self._confirmed = False  # the node has executed something since the connection was activated
        self._probe_id = 0  # the last request that was written before the node was confirmed
        self._waiting_since: float | None = None  # with operations in flight and none completed
        self._written_at = 0.0

    @classmethod
    async def open(cls, address: str) -> "Connection":
        """Connect to the node at `address`. Raise `UnreachableError` with the reason on failure."""
        return cls(address, await open_channel(address))

    def activate(self) -> None:
        """Prepare for new operations; the node has to be confirmed again."""
        self._confirmed = False
        self._probe_id = 0
        self._waiting_since = None
        self.wake()

    def confirm(self) -> bool:
        """Record that the node executes requests; return whether this was not known yet."""
        was_confirmed, self._confirmed = self._confirmed, True
        return not was_confirmed

    def record_progress(self) -> None:
        """Record that an operation was completed."""
        self._waiting_since = self._loop.time() if self._in_flight else None

    @property
    def unresponsive_seconds(self) -> float:
        """How long operations have been in flight while none was completed."""
        return 0.0 if self._waiting_since is None else self._loop.time() - self._waiting_since

    def capacity(self, queued: int) -> int:
        """Return how many of `queued` operations may be written now.

        An unconfirmed node gets a single one: a node that does not lead would reject a thousand one by one, at a time
        when the election needs the processor.
        """
        if not queued:
            return 0
        if not self._confirmed:
            return 0 if self._probe_id in self._in_flight else 1
        in_flight = len(self._in_flight)
        half = (in_flight + queued + 1) // 2
        return min(BATCH_OPERATIONS_MAX, max(SPLIT_OPERATIONS, half), IN_FLIGHT_OPERATIONS_MAX - in_flight)

    @property
    def is_open(self) -> bool:
        return not self._call.done()

    async def send(self, operations: Sequence[PendingOperation], session: ClientSession | None) -> None:
        """Write operations as one batch. Raise `StreamEndedError` when the stream has ended.

        They are in flight from now on, also on an error. `session` is the session of the commands among them.
        """
        batch = pb.RequestBatch(requests=[self._request(group) for group in _groups(operations)])
        if session is not None:
            batch.session_id = session.id
            batch.acknowledged_below = session.mark_sent()
        self._probe_id = self._last_id
        self._note_written(alone=len(self._in_flight) == len(operations))
        try:
            await self._call.write(batch)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise StreamEndedError(str(error)) from None

    async def receive(self) -> pb.OutcomeBatch:
        """Return the next outcomes. Raise `StreamEndedError` when there are no more."""
        try:
            batch = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise StreamEndedError(describe_status(error)) from None
        if not isinstance(batch, pb.OutcomeBatch):
            raise StreamEndedError("the node ended the stream")
        return batch

    def take_completed(self, outcome: pb.Outcome) -> Iterator[tuple[int, PendingOperation]]:
        """Yield the operations that an outcome is about, each with its offset in it; skip those that were given up.

        They are no longer in flight. Operations for which the outcome has no result stay in flight.
        """
        count = min(len(outcome.results) or outcome_count(outcome), self._last_id + 1 - outcome.id)
        for offset in range(count):
            operation = self._in_flight.pop(outcome.id + offset, None)
            if operation is not None and not operation.future.done():
                operation.connection = None
                yield offset, operation

    def take_unanswered(self) -> list[PendingOperation]:
        """Return the operations without an outcome, in the order of writing; none is in flight any longer."""
        unanswered = [operation for operation in self._in_flight.values() if not operation.future.done()]
        self._in_flight.clear()
        for operation in unanswered:
            operation.connection = None
        return unanswered

    def discard(self, operation: PendingOperation) -> None:
        """Stop waiting for the outcome of an operation."""
        operation.connection = None
        self._in_flight.pop(operation.id, None)
        self.wake()

    def wake(self) -> None:
        """Let `wait_for_wake` return."""
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    async def wait_for_wake(self) -> None:
        """Wait until there may be something to write."""
        self._wakeup = self._loop.create_future()
        await self._wakeup

    def cancel(self) -> None:
        """End the stream at once."""
        self._call.cancel()

    async def close(self) -> None:
        """End the stream and close the channel."""
        self._call.cancel()
        await self._channel.close(None)

    def _request(self, group: list[PendingOperation]) -> pb.Request:
        first_id = self._last_id + 1
        for request_id, operation in enumerate(group, first_id):
            self._in_flight[request_id] = operation
            operation.id = request_id
            operation.connection = self
        self._last_id += len(group)
        operation_type, payloads = group[0].operation_type, [operation.payload for operation in group]
        if operation_type == "command":
            return pb.Request(id=first_id, commands=payloads, sequence=group[0].sequence)
        if operation_type == "open_session":
            return pb.Request(id=first_id, open_session=True)
        return pb.Request(id=first_id, queries=payloads, any_node=operation_type == "any_node_query")

    def _note_written(self, *, alone: bool) -> None:
        """Start to wait, unless an earlier batch has been waited for since, even if it was given up meanwhile."""
        now = self._loop.time()
        if self._waiting_since is None or (alone and now - self._written_at > PAUSE_SECONDS):
            self._waiting_since = now
        self._written_at = now


def _groups(operations: Sequence[PendingOperation]) -> Iterator[list[PendingOperation]]:
    """Group operations by request: those of a group have one type, and commands consecutive sequence numbers."""
    for operation_type in dict.fromkeys([operation.operation_type for operation in operations]):
        same = [operation for operation in operations if operation.operation_type == operation_type]
        if operation_type in ("query", "any_node_query"):
            yield same
            continue
        start = 0
        for position in range(1, len(same)):
            if same[position].sequence != same[position - 1].sequence + 1:
                yield same[start:position]
                start = position
        yield same[start:]


def _start_stream(channel: grpc.aio.Channel) -> "Call":
    run = channel.stream_stream(
        "/raft.v2.CommandStream/Run",
        request_serializer=pb.RequestBatch.SerializeToString,
        response_deserializer=pb.OutcomeBatch.FromString,
    )
    return run(request_iterator=None)  # messages are written one by one
