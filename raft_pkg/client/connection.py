"""One stream of commands to one node: what was written to it, and what has not been answered yet.

It takes operations from the dispatcher's queue while it is the active connection, as many as fit into a message, and
hands back what the node answers. What becomes of an operation is the dispatcher's to decide.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import grpc

from raft_pkg.client.channel import open_channel
from raft_pkg.client.operation import Operation
from raft_pkg.client.session import Session
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.dial import describe_status
from raft_pkg.rpc.requests import outcome_count

if TYPE_CHECKING:
    from google.protobuf.message import Message

    Call = grpc.aio.StreamStreamCall[Message, pb.OutcomeBatch]

PAUSE_SECONDS = 0.5  # what went unanswered before such a pause says nothing about now
MAX_BATCH_OPERATIONS = 1024
SPLIT_OPERATIONS = 128  # of more, half is written at a time: client and nodes work at once, instead of in turn
MAX_BATCH_BYTES = 1024 * 1024  # beyond it a message takes no further operation; one operation may be larger
MAX_IN_FLIGHT_OPERATIONS = 16384


class Dispatcher(Protocol):
    """What a connection needs of its owner."""

    queue: deque[Operation]

    def number(self, operation: Operation) -> Session | None:
        """Give a command its session and number; None: it waits elsewhere for a session."""

    def answered(self, connection: "Connection", batch: pb.OutcomeBatch) -> None:
        """The node answered some operations."""

    def broken(self, connection: "Connection", reason: str) -> None:
        """The stream has ended."""


class Connection:
    """A stream to the node at `address`."""

    def __init__(self, address: str, channel: grpc.aio.Channel, owner: Dispatcher) -> None:
        self.address = address
        self.in_flight: dict[int, Operation] = {}
        self.active = False  # takes operations from the queue
        self.confirmed = False  # the node has acted as the leader since the connection became active
        self.waiting_since: float | None = None  # with something in flight and nothing accomplished
        self._channel = channel
        self._call = _begin(channel)
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._idle: asyncio.Future[None] | None = None
        self._last_id = 0
        self._written_at = 0.0
        self._probe_id = 0  # of the operation that asks whether the node leads

    @classmethod
    async def open(cls, address: str, owner: Dispatcher) -> "Connection":
        """Connect to the node at `address`; raises UnreachableError that says what went wrong."""
        return cls(address, await open_channel(address), owner)

    async def run(self) -> None:
        """Write and read until the stream ends or is cancelled."""
        reason = "the connection was closed"
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write())
                reason = await self._read()
                writer.cancel()
        finally:
            self._owner.broken(self, reason)
            self._call.cancel()
            await self._channel.close(None)

    def activate(self) -> None:
        """Take operations from the queue from now on."""
        self.active = True
        self.confirmed = False
        self.waiting_since = None
        self._probe_id = 0
        self.wake()

    def answered(self, outcome: pb.Outcome) -> Iterator[tuple[int, Operation]]:
        """The operations that an outcome is about, as far as somebody waits for them, with their places in it.

        They are not in flight any more. Those for which it has no result are: they have no answer.
        """
        count = min(len(outcome.results) or outcome_count(outcome), self._last_id + 1 - outcome.id)
        for place in range(count):
            operation = self.in_flight.pop(outcome.id + place, None)
            if operation is not None and not operation.future.done():
                yield place, operation

    def close(self) -> None:
        """End the stream."""
        self._call.cancel()

    def wake(self) -> None:
        """There may be something to write."""
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def _read(self) -> str:
        """Take answers until there are no more; returns why."""
        try:
            while isinstance(batch := await self._call.read(), pb.OutcomeBatch):
                self._owner.answered(self, batch)
                if self._owner.queue:
                    self.wake()
        except grpc.aio.AioRpcError as error:
            return describe_status(error)
        return "the node ended the stream"

    async def _write(self) -> None:
        while not self._call.done():
            batch = self._next_batch()
            if batch is None:
                self._idle = self._loop.create_future()
                await self._idle
                continue
            try:
                await self._call.write(batch)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                return  # the stream has ended: the reader learns why

    def _next_batch(self) -> pb.RequestBatch | None:
        """Operations from the queue, as many as may travel together now."""
        room = self._room()
        if room <= 0:
            return None
        operations, session = self._take(room)
        if not operations:
            return None
        batch = pb.RequestBatch(requests=[self._request(row) for row in _rows(operations)])
        if session is not None:
            batch.session_id = session.id
            batch.acknowledged_below = session.written()
        self._probe_id = self._last_id
        self._note_written(alone=len(self.in_flight) == len(operations))
        return batch

    def _take(self, room: int) -> tuple[list[Operation], Session | None]:
        """The next operations of the queue, and the session that the commands among them belong to."""
        queue = self._owner.queue
        number = self._owner.number
        taken: list[Operation] = []
        session: Session | None = None
        bytes_left = MAX_BATCH_BYTES
        while queue and len(taken) < room and bytes_left > 0:
            operation = queue.popleft()
            if operation.future.done():
                continue
            if operation.kind == "command":
                its_session = operation.session or number(operation)
                if its_session is None:
                    continue
                if session is not None and its_session is not session:  # a message speaks of one session
                    queue.appendleft(operation)
                    break
                session = its_session
            taken.append(operation)
            bytes_left -= len(operation.payload)
        return taken, session

    def _request(self, row: list[Operation]) -> pb.Request:
        """What asks for them; from now on they are in flight."""
        first_id = self._last_id + 1
        for operation_id, operation in enumerate(row, first_id):
            self.in_flight[operation_id] = operation
            operation.id = operation_id
            operation.connection = self
        self._last_id += len(row)
        kind, payloads = row[0].kind, [operation.payload for operation in row]
        if kind == "command":
            return pb.Request(id=first_id, commands=payloads, sequence=row[0].sequence)
        if kind == "open_session":
            return pb.Request(id=first_id, open_session=True)
        return pb.Request(id=first_id, queries=payloads, any_node=kind == "any_node_query")

    def _note_written(self, *, alone: bool) -> None:
        """Begin to wait, unless we have been waiting since an earlier message, even if that was given up."""
        now = self._loop.time()
        if self.waiting_since is None or (alone and now - self._written_at > PAUSE_SECONDS):
            self.waiting_since = now
        self._written_at = now

    def _room(self) -> int:
        """How many operations may be written now.

        A node that has not yet shown that it leads gets a single one: it would refuse a thousand one by one, just
        when an election needs the processor.
        """
        if not self.active or not self._owner.queue:
            return 0
        if not self.confirmed:
            return 0 if self._probe_id in self.in_flight else 1
        half = (len(self.in_flight) + len(self._owner.queue) + 1) // 2
        return min(MAX_BATCH_OPERATIONS, max(SPLIT_OPERATIONS, half), MAX_IN_FLIGHT_OPERATIONS - len(self.in_flight))


def _rows(operations: list[Operation]) -> Iterator[list[Operation]]:
    """The operations as one request can ask for them: of one kind, and commands with consecutive numbers."""
    for kind in dict.fromkeys([operation.kind for operation in operations]):
        same = [operation for operation in operations if operation.kind == kind]
        if kind in ("query", "any_node_query"):
            yield same
            continue
        start = 0
        for place in range(1, len(same)):
            if same[place].sequence != same[place - 1].sequence + 1:
                yield same[start:place]
                start = place
        yield same[start:]


def _begin(channel: grpc.aio.Channel) -> "Call":
    run = channel.stream_stream(
        "/raft.v2.CommandStream/Run",
        request_serializer=pb.RequestBatch.SerializeToString,
        response_deserializer=pb.OutcomeBatch.FromString,
    )
    return run(request_iterator=None)  # messages are written one by one
