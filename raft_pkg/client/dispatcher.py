"""Executes operations against a cluster: chooses the node, retries, and decides what an outcome means.

The rules that apply a command exactly once:

- A command gets a sequence number in the client's session when it is first written, and keeps it. The cluster applies
  a sequence number once, however often it arrives (dissertation §6.3). A command without an outcome is therefore sent
  again, to whichever node leads, until its deadline.
- At its deadline a command has failed if it was never written, or if every node that received it replied that it was
  not applied. Otherwise its outcome is unknown.
- When its session has expired, a command that was sent once was not applied, and gets a sequence number in a new
  session. An earlier attempt may have been applied: then its outcome is unknown.

Commands wait until a session is open. Queries need none.
"""

import asyncio
import random
from collections.abc import Sequence

import grpc

from raft_pkg.client.channel import UnreachableError
from raft_pkg.client.connection import Connection, StreamEndedError
from raft_pkg.client.locator import LeaderLocator
from raft_pkg.client.operation import OperationResult, PendingOperation
from raft_pkg.client.prober import Prober
from raft_pkg.client.request_queue import RequestQueue
from raft_pkg.client.retry import RetryScheduler
from raft_pkg.client.session_manager import SessionManager
from raft_pkg.client.timer_wheel import TimerWheel
from raft_pkg.errors import InvalidOperationError, OperationError, OperationFailedError, OutcomeUnknownError
from raft_pkg.rpc import raft_pb2 as pb

SUSPECT_SECONDS = 0.1
"""When the active node has completed nothing for this long, it is suspect: the others are asked whether they lead."""
UNRESPONSIVE_SECONDS = 1.0
"""After this long the active node is abandoned, whatever the others say."""


class Dispatcher:
    """Owns the active node and the operations under way. Must be made and used in one event loop."""

    def __init__(self, locator: LeaderLocator, rng: random.Random) -> None:
        self._loop = asyncio.get_running_loop()
        self._locator = locator
        self._timers = TimerWheel(self._loop, self._expire, self._check_active)
        self._sessions = SessionManager(self._loop, self._submit_internal, self._requeue)
        self._queue = RequestQueue(self._sessions.assign)
        self._retries = RetryScheduler(self._loop, rng, self._retry)
        self._prober = Prober(locator.accepts, self._switch)
        self._connections: dict[str, Connection] = {}  # by address
        self._active: Connection | None = None  # the connection that operations are written to
        self._node_wanted = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._closed = False
        self._main = self._loop.create_task(self._run(), name="raft-client")

    def submit(self, operation: PendingOperation) -> None:
        """Execute an operation: its future gets a result, or an `OperationError` by its deadline."""
        if self._closed:
            raise OperationFailedError(f"{operation}: the client is closed")
        self._timers.add(operation)
        self._enqueue(operation)

    def forget(self, operation: PendingOperation) -> None:
        """Release what is held for an operation whose future is done or cancelled."""
        self._timers.discard(operation)
        if operation.session is not None:
            operation.session.complete(operation.sequence)
        if operation.future.cancelled() and operation.connection is not None:
            operation.connection.discard(operation)

    async def close(self) -> None:
        """End every operation and every connection."""
        self._closed = True
        self._main.cancel()
        await asyncio.wait([self._main])

    async def _run(self) -> None:
        reason = "the client was closed"
        try:
            async with asyncio.TaskGroup() as self._group:
                await self._find_nodes(self._group)
        except* Exception as errors:  # a defect must not leave callers waiting for ever
            reason = f"the client failed: {errors.exceptions[0]!r}"
            raise
        finally:
            self._closed = True
            for operation in self._timers.pending():
                self._give_up(operation, reason)
            self._timers.stop()

    # --- nodes ----------------------------------------------------------------------------------------------------

    async def _find_nodes(self, group: asyncio.TaskGroup) -> None:
        """Activate a connection whenever operations are queued and there is none."""
        while True:
            await self._node_wanted.wait()
            self._queue.drop_done()
            if not self._queue:
                self._node_wanted.clear()
                continue
            address, delay = self._locator.next(self._loop.time())
            if delay:
                await asyncio.sleep(delay)
            connection = self._connections.get(address) or await self._connect(address, group)
            if connection is not None:
                self._active = connection
                self._node_wanted.clear()
                connection.activate()

    async def _connect(self, address: str, group: asyncio.TaskGroup) -> Connection | None:
        started = self._loop.time()
        try:
            connection = await Connection.open(address)
        except UnreachableError as error:
            now = self._loop.time()
            self._locator.unreachable(address, str(error), now, now - started)
            return None
        self._keep(connection, group)
        return connection

    def _keep(self, connection: Connection, group: asyncio.TaskGroup) -> None:
        self._connections[connection.address] = connection
        group.create_task(self._serve(connection), name=f"raft-client-to-{connection.address}")

    async def _serve(self, connection: Connection) -> None:
        """Exchange batches with a node until the stream ends or is cancelled."""
        reason = "the connection was closed"
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write(connection))
                reason = await self._read(connection)
                writer.cancel()
        finally:
            self._handle_stream_end(connection, reason)
            await connection.close()

    async def _write(self, connection: Connection) -> None:
        while connection.is_open:
            capacity = connection.capacity(len(self._queue)) if connection is self._active else 0
            operations, session = self._queue.take(capacity)
            if not operations:
                await connection.wait_for_wake()
                continue
            try:
                await connection.send(operations, session)
            except StreamEndedError:
                return  # `_read` learns the reason

    async def _read(self, connection: Connection) -> str:
        """Handle outcomes until the stream ends; return why it did."""
        try:
            while True:
                self._handle_outcomes(connection, await connection.receive())
                if self._queue:
                    connection.wake()
        except StreamEndedError as error:
            return str(error)

    def _handle_stream_end(self, connection: Connection, reason: str) -> None:
        if self._connections.get(connection.address) is connection:
            del self._connections[connection.address]
        if connection is self._active:
            self._locator.failed(connection.address, reason, self._loop.time())
            self._deactivate(connection)

    def _deactivate(self, connection: Connection) -> None:
        """Write nothing more to the node, and requeue all that it has not answered: it may have been executed."""
        self._active = None
        unanswered = connection.take_unanswered()
        for operation in unanswered:
            operation.indeterminate = True
        self._queue.prepend(unanswered)
        if self._queue:
            self._node_wanted.set()

    def _confirm(self, connection: Connection) -> None:
        if connection is self._active and connection.confirm():
            self._locator.found(connection.address)

    def _check_active(self) -> None:
        """Abandon an unresponsive node. One that is paused or partitioned keeps its connections open."""
        connection = self._active
        if connection is None:
            return
        if connection.unresponsive_seconds > UNRESPONSIVE_SECONDS:
            self._abandon(connection, None)
        elif connection.unresponsive_seconds > SUSPECT_SECONDS:
            self._probe_others(connection)

    def _probe_others(self, suspect: Connection) -> None:
        if self._group is not None and not self._prober.is_running:
            others = self._locator.others(suspect.address)
            self._prober.start(self._group, others, lambda: self._is_suspect(suspect))

    def _is_suspect(self, connection: Connection) -> bool:
        return connection is self._active and connection.unresponsive_seconds > SUSPECT_SECONDS

    def _switch(self, address: str, channel: grpc.aio.Channel) -> bool:
        """Replace the active node, which is suspect. Return whether the channel is used.

        Commands that it may still execute keep their sequence numbers, so they are applied once.
        """
        assert self._active is not None
        assert self._group is not None
        is_new = address not in self._connections
        if is_new:
            self._keep(Connection(address, channel), self._group)
        self._abandon(self._active, address)
        return is_new

    def _abandon(self, connection: Connection, hint: str | None) -> None:
        """Close the active connection; `hint` is the address of the node to try next."""
        reason = f"unresponsive for {connection.unresponsive_seconds:.1f} s"
        self._locator.failed(connection.address, reason, self._loop.time(), hint)
        self._connections.pop(connection.address, None)
        self._deactivate(connection)
        connection.cancel()

    # --- operations -----------------------------------------------------------------------------------------------

    def _submit_internal(self, operation: PendingOperation) -> None:
        operation.future.add_done_callback(lambda _future: self._timers.discard(operation))
        self._timers.add(operation)
        self._enqueue(operation)

    def _enqueue(self, operation: PendingOperation) -> None:
        self._queue.append(operation)
        self._serve_queue()

    def _requeue(self, operations: Sequence[PendingOperation]) -> None:
        self._queue.prepend(operations)
        self._serve_queue()

    def _retry(self, operation: PendingOperation) -> None:
        if not operation.future.done() and not self._closed:
            self._enqueue(operation)

    def _serve_queue(self) -> None:
        if self._active is not None:
            self._active.wake()
        else:
            self._node_wanted.set()

    def _expire(self, operation: PendingOperation) -> None:
        if not operation.future.done():
            self._give_up(operation, f"its deadline of {operation.timeout:g} s passed")

    def _give_up(self, operation: PendingOperation, reason: str) -> None:
        """Fail an operation without an outcome, and say what is known about it."""
        if operation.future.done():
            return
        connection = operation.connection
        if connection is not None:
            connection.discard(operation)
            reason += f" without a response from {connection.address}"
        elif operation.indeterminate:
            reason += f" without a response; {self._locator.describe()}"
        else:
            reason += f" before a node accepted it; {self._locator.describe()}"
        error: OperationError = OperationFailedError(f"{operation}: {reason}")
        if operation.operation_type == "command" and (connection is not None or operation.indeterminate):
            error = OutcomeUnknownError(f"{operation}: {reason}; it may or may not have been applied")
        operation.future.set_exception(error)

    # --- outcomes -------------------------------------------------------------------------------------------------

    def _handle_outcomes(self, connection: Connection, batch: pb.OutcomeBatch) -> None:
        progress = False
        rejection: pb.Outcome | None = None
        for outcome in batch.outcomes:
            code = outcome.code
            if code == pb.OUTCOME_CODE_OK:
                progress |= _complete(connection, outcome)
            elif code in (pb.OUTCOME_CODE_NOT_LEADER, pb.OUTCOME_CODE_UNAVAILABLE):
                for _, operation in connection.take_completed(outcome):
                    rejection = outcome
                    self._enqueue(operation)
            else:
                for _, operation in connection.take_completed(outcome):
                    progress |= code in (pb.OUTCOME_CODE_INVALID, pb.OUTCOME_CODE_SESSION_EXPIRED)
                    self._handle_failure(connection, operation, outcome)
        if progress:
            self._confirm(connection)
            connection.record_progress()
        if rejection is not None:  # last: operations that the same batch completes must not be requeued
            self._handle_rejection(connection, rejection)

    def _handle_rejection(self, connection: Connection, outcome: pb.Outcome) -> None:
        """Leave a node that cannot execute operations now. What it rejected was not executed."""
        if connection is not self._active:
            return
        if outcome.code == pb.OUTCOME_CODE_NOT_LEADER:
            reason = f"not the leader; it follows {outcome.leader_id or 'no one'}"
        else:
            reason = outcome.message or "unavailable"
        self._locator.refused(connection.address, reason, outcome.leader_address or None)
        self._deactivate(connection)

    def _handle_failure(self, connection: Connection, operation: PendingOperation, outcome: pb.Outcome) -> None:
        """Handle an outcome of one operation that says nothing about the node."""
        match outcome.code:
            case pb.OUTCOME_CODE_BUSY:
                self._confirm(connection)
                self._retries.defer(operation)
            case pb.OUTCOME_CODE_INVALID:
                operation.future.set_exception(InvalidOperationError(f"{operation}: {outcome.message or 'invalid'}"))
            case pb.OUTCOME_CODE_SESSION_EXPIRED:
                self._handle_expired_session(operation)
            case _:
                operation.indeterminate = True
                self._retries.defer(operation)

    def _handle_expired_session(self, operation: PendingOperation) -> None:
        """Retry a command in a new session, unless an earlier attempt may have been applied."""
        self._sessions.expired(operation.session)
        if operation.indeterminate:
            operation.future.set_exception(
                OutcomeUnknownError(
                    f"{operation}: it was sent, the response was lost, and its session has expired since; "
                    "it may or may not have been applied"
                )
            )
            return
        if operation.session is not None:
            operation.session.complete(operation.sequence)
        operation.session = None
        self._retries.defer(operation)


def _complete(connection: Connection, outcome: pb.Outcome) -> bool:
    """Complete the operations of an OK outcome; return whether a caller was waiting for any of them."""
    index, session_id, results = outcome.index, outcome.session_id, outcome.results
    empty = OperationResult(b"", index, session_id)
    completed = False
    for offset, operation in connection.take_completed(outcome):
        operation.future.set_result(OperationResult(results[offset], index, session_id) if results else empty)
        completed = True
    return completed
