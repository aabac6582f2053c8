"""From the queue of operations to the leader and back: who gets what, and what an outcome means.

The rules that keep a write from being applied twice are all here:

- what was never written to a stream, or was answered "surely not done", is sent again, elsewhere or later;
- a read changes nothing, so it is sent again whatever happened to it;
- a write that may have reached a log ends with that node's answer, or as unknown. It is never sent again.
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence

from raft_pkg.client.channel import UnreachableError
from raft_pkg.client.connection import Connection
from raft_pkg.client.locator import LeaderLocator
from raft_pkg.client.operation import DeadlineWheel, Operation
from raft_pkg.errors import InvalidOperationError, OperationError, OperationFailedError, OutcomeUnknownError
from raft_pkg.rpc import raft_pb2 as pb

SILENCE_SECONDS = 1.0  # a leader that accomplishes nothing for so long is looked for elsewhere
BUSY_BACK_OFF_FIRST_SECONDS = 0.005
BUSY_BACK_OFF_MAX_SECONDS = 0.5


class Dispatcher:
    """Owns the queue, the connections and the search for the leader; lives in one event loop."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        self.queue: deque[Operation] = deque()
        self._loop = asyncio.get_running_loop()
        self._chance = random.Random()
        self._locator = LeaderLocator(endpoints, self._chance)
        self._wheel = DeadlineWheel(self._loop, self._expire, self._notice_silence)
        self._connections: dict[str, Connection] = {}  # by address, those that may become active
        self._active: Connection | None = None
        self._leader_wanted = asyncio.Event()
        self._closed = False
        self._main = self._loop.create_task(self._run(), name="raft-client")

    def submit(self, operation: Operation) -> None:
        """Take charge of an operation: its future ends with an OK outcome or an OperationError."""
        if self._closed:
            raise OperationFailedError(f"{operation}: the client is closed")
        self._wheel.add(operation)
        self._enqueue(operation)

    def forget(self, operation: Operation) -> None:
        """The operation's future is done, one way or another."""
        self._wheel.discard(operation)
        if operation.connection is not None and operation.future.cancelled():
            self._take_back(operation)

    async def close(self) -> None:
        """End every operation that is under way, and every connection."""
        self._closed = True
        self._main.cancel()
        await asyncio.wait([self._main])

    def answered(self, connection: Connection, batch: pb.OutcomeBatch) -> None:
        """A node has answered some of what was written to it."""
        in_flight = connection.in_flight
        accomplished = False
        for outcome in batch.outcomes:
            operation = in_flight.pop(outcome.id, None)
            if operation is None or operation.future.done():
                continue
            if outcome.code == pb.OUTCOME_CODE_OK:
                accomplished = True
                operation.future.set_result(outcome)
            else:
                accomplished |= outcome.code == pb.OUTCOME_CODE_INVALID
                self._handle_refusal(connection, operation, outcome)
        if accomplished:
            self._confirm(connection)
            connection.waiting_since = self._loop.time() if in_flight else None
        connection.end_if_done()

    def broken(self, connection: Connection, reason: str) -> None:
        """A stream has ended; what was written to it and not answered may have been done."""
        if self._connections.get(connection.address) is connection:
            del self._connections[connection.address]
        if connection is self._active:
            self._locator.failed(connection.address, reason, self._loop.time())
            self._leave(connection)
        operations = list(connection.in_flight.values())
        connection.in_flight.clear()
        for operation in operations:
            operation.connection = None
            if operation.future.done():
                continue
            if operation.is_read:
                self._enqueue(operation)
            else:
                operation.future.set_exception(
                    OutcomeUnknownError(
                        f"{operation}: it was sent to {connection.address}, whose answer was lost ({reason}); "
                        "it may or may not have been done"
                    )
                )

    async def _run(self) -> None:
        reason = "the client was closed"
        try:
            async with asyncio.TaskGroup() as group:
                await self._seek_leaders(group)
        except* Exception as errors:  # a defect: nobody may wait for ever because of it
            reason = f"the client failed: {errors.exceptions[0]!r}"
            raise
        finally:
            self._closed = True
            for operation in self._wheel.pending():
                self._give_up(operation, reason)
            self._wheel.stop()

    async def _seek_leaders(self, group: asyncio.TaskGroup) -> None:
        """Whenever operations wait and no connection takes them, find the one to the leader."""
        while True:
            await self._leader_wanted.wait()
            while self.queue and self.queue[0].future.done():
                self.queue.popleft()
            if not self.queue:
                self._leader_wanted.clear()
                continue
            address, delay = self._locator.next(self._loop.time())
            if delay:
                await asyncio.sleep(delay)
            connection = self._connections.get(address) or await self._connect(address, group)
            if connection is not None:
                self._active = connection
                self._leader_wanted.clear()
                connection.activate()

    async def _connect(self, address: str, group: asyncio.TaskGroup) -> Connection | None:
        try:
            connection = await Connection.open(address, self)
        except UnreachableError as error:
            self._locator.failed(address, str(error), self._loop.time())
            return None
        self._connections[address] = connection
        group.create_task(connection.run(), name=f"raft-client-to-{address}")
        return connection

    def _enqueue(self, operation: Operation) -> None:
        self.queue.append(operation)
        if self._active is not None:
            self._active.wake()
        else:
            self._leader_wanted.set()

    def _confirm(self, connection: Connection) -> None:
        """The node has acted as a leader does."""
        if not connection.confirmed and connection.active:
            connection.confirmed = True
            self._locator.found(connection.address)

    def _leave(self, connection: Connection) -> None:
        """Send nothing more there, and read elsewhere what was to be read there; writes wait for their outcome."""
        connection.active = False
        if connection is self._active:
            self._active = None
        for operation in [operation for operation in connection.in_flight.values() if operation.is_read]:
            del connection.in_flight[operation.id]
            operation.connection = None
            if not operation.future.done():
                self._enqueue(operation)
        if self.queue:
            self._leader_wanted.set()

    def _handle_refusal(self, connection: Connection, operation: Operation, outcome: pb.Outcome) -> None:
        """Any outcome but OK."""
        operation.connection = None
        match outcome.code:
            case pb.OUTCOME_CODE_NOT_LEADER:
                reason = f"not the leader; it follows {outcome.leader_id or 'nobody'}"
                self._refused(connection, reason, outcome.leader_address or None)
                self._enqueue(operation)
            case pb.OUTCOME_CODE_UNAVAILABLE:
                self._refused(connection, outcome.message or "unavailable", None)
                self._enqueue(operation)
            case pb.OUTCOME_CODE_BUSY:
                self._confirm(connection)
                self._put_off(operation)
            case pb.OUTCOME_CODE_INVALID:
                operation.future.set_exception(InvalidOperationError(f"{operation}: {outcome.message or 'invalid'}"))
            case _ if operation.is_read:
                self._put_off(operation)
            case _:
                reason = outcome.message or "nobody can say whether it was or will be done"
                error = OutcomeUnknownError(f"{operation}: {connection.address}: {reason}")
                operation.future.set_exception(error)

    def _refused(self, connection: Connection, reason: str, hint: str | None) -> None:
        """The node does not act as the leader now."""
        if connection is self._active:
            self._locator.refused(connection.address, reason, hint)
            self._leave(connection)

    def _put_off(self, operation: Operation) -> None:
        """Try again a little later, and later still each time."""
        operation.connection = None
        seconds = min(BUSY_BACK_OFF_MAX_SECONDS, BUSY_BACK_OFF_FIRST_SECONDS * 2 ** min(operation.attempts, 10))
        operation.attempts += 1
        self._loop.call_later(seconds * self._chance.uniform(0.5, 1.5), self._resume, operation)

    def _resume(self, operation: Operation) -> None:
        if not operation.future.done() and not self._closed:
            self._enqueue(operation)

    def _expire(self, operation: Operation) -> None:
        if not operation.future.done():
            self._give_up(operation, f"its deadline of {operation.timeout:g} s passed")

    def _give_up(self, operation: Operation, reason: str) -> None:
        """End an operation that has no outcome, and say what is known of it."""
        if operation.future.done():
            return
        connection = self._take_back(operation)
        error: OperationError
        if connection is None:
            error = OperationFailedError(f"{operation}: {reason} before a leader took it; {self._locator.describe()}")
        elif operation.is_read:
            error = OperationFailedError(f"{operation}: {reason} without an answer from {connection.address}")
        else:
            error = OutcomeUnknownError(
                f"{operation}: {reason} without an answer from {connection.address}; it may or may not have been done"
            )
        operation.future.set_exception(error)

    def _take_back(self, operation: Operation) -> Connection | None:
        """Wait no longer for the answer of the connection that the operation was written to, if any."""
        connection, operation.connection = operation.connection, None
        if not isinstance(connection, Connection):
            return None
        connection.in_flight.pop(operation.id, None)
        connection.wake()
        connection.end_if_done()
        return connection

    def _notice_silence(self) -> None:
        """A leader that is paused or cut off keeps its connections: leave it when nothing comes of them."""
        connection = self._active
        if connection is None or connection.waiting_since is None:
            return
        now = self._loop.time()
        if now - connection.waiting_since > SILENCE_SECONDS:
            self._locator.failed(connection.address, f"silent for {SILENCE_SECONDS:g} s", now)
            self._connections.pop(connection.address, None)
            self._leave(connection)
            connection.retire()
