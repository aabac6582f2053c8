"""From the queue of operations to a node and back: who gets what, and what an outcome means.

The rules that make sure that a command is applied once are all here:

- a command gets a number in the client's session when it is first written to a stream, and keeps it: the cluster
  applies one number once, whatever reaches it (dissertation §6.3). So whatever has no outcome yet is sent again, to
  whoever leads then, until its deadline;
- at its deadline a command has failed if every node that it was written to has answered "surely not done", or if there
  was none; otherwise its outcome is unknown;
- when its session has expired, a command whose only answer this is was not done, and gets a number in a new session.
  One that was sent before may have been applied then: its outcome is unknown.

Commands wait until a session is open; queries do not need one.
"""

import asyncio
import random
from collections import deque
from contextlib import AsyncExitStack

import grpc

from raft_pkg.client.channel import CONNECT_TIMEOUT_SECONDS, UnreachableError, ask_status, open_channel
from raft_pkg.client.connection import Connection
from raft_pkg.client.locator import LeaderLocator
from raft_pkg.client.operation import Answer, DeadlineWheel, Operation
from raft_pkg.client.session import Session
from raft_pkg.errors import InvalidOperationError, OperationError, OperationFailedError, OutcomeUnknownError
from raft_pkg.rpc import raft_pb2 as pb

SILENCE_SECONDS = 1.0  # a node that accomplishes nothing for so long is left for another
DOUBT_SECONDS = 0.1  # after so long the others are asked: one that says that it leads is gone over to at once
DOUBT_ASK_SECONDS = 0.01  # between the first two questions to the same node; an election may be under way
DOUBT_ASK_FACTOR = 1.1  # by which that grows from one question to the next
BUSY_BACK_OFF_FIRST_SECONDS = 0.005
BUSY_BACK_OFF_MAX_SECONDS = 0.5


class Dispatcher:
    """Owns the queue, the session, the connections and the search for a node; lives in one event loop."""

    def __init__(self, locator: LeaderLocator, chance: random.Random) -> None:
        self.queue: deque[Operation] = deque()
        self._loop = asyncio.get_running_loop()
        self._chance = chance
        self._locator = locator
        self._wheel = DeadlineWheel(self._loop, self._expire, self._notice_silence)
        self._session: Session | None = None
        self._opening: Operation | None = None  # the session that is being opened
        self._without_session: list[Operation] = []  # commands that wait for it
        self._connections: dict[str, Connection] = {}  # by address, those that may become active
        self._active: Connection | None = None
        self._node_wanted = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._doubts: set[asyncio.Task[None]] = set()  # one for each other node that is being asked
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
        if operation.session is not None:
            operation.session.end(operation.sequence)
        if operation.future.cancelled():
            self._take_back(operation)

    async def close(self) -> None:
        """End every operation that is under way, and every connection."""
        self._closed = True
        self._main.cancel()
        await asyncio.wait([self._main])

    def number(self, operation: Operation) -> Session | None:
        """Give a command its session and its number there; None: it waits here until a session is open."""
        session = self._session
        sequence = 0 if session is None else session.begin()
        if not sequence:
            self._without_session.append(operation)
            if self._opening is None:
                self._open_session(operation.timeout)
            return None
        operation.session = session
        operation.sequence = sequence
        return session

    def answered(self, connection: Connection, batch: pb.OutcomeBatch) -> None:
        """A node has answered some of what was written to it."""
        accomplished = False
        refusal: pb.Outcome | None = None
        for outcome in batch.outcomes:
            code = outcome.code
            if code == pb.OUTCOME_CODE_OK:
                accomplished |= _succeed(connection, outcome)
            elif code in (pb.OUTCOME_CODE_NOT_LEADER, pb.OUTCOME_CODE_UNAVAILABLE):
                for _, operation in connection.answered(outcome):
                    refusal = outcome
                    operation.connection = None
                    self._enqueue(operation)
            else:
                for _, operation in connection.answered(outcome):
                    accomplished |= code in (pb.OUTCOME_CODE_INVALID, pb.OUTCOME_CODE_SESSION_EXPIRED)
                    self._handle_failure(connection, operation, outcome)
        if accomplished:
            self._confirm(connection)
            connection.waiting_since = self._loop.time() if connection.in_flight else None
        if refusal is not None:  # after all the outcomes that came with it: they are not to be asked for elsewhere
            self._handle_refusal(connection, refusal)

    def broken(self, connection: Connection, reason: str) -> None:
        """A stream has ended; what was written to it and not answered may have been done."""
        if self._connections.get(connection.address) is connection:
            del self._connections[connection.address]
        if connection is self._active:
            self._locator.failed(connection.address, reason, self._loop.time())
            self._leave(connection)

    async def _run(self) -> None:
        reason = "the client was closed"
        try:
            async with asyncio.TaskGroup() as self._group:
                await self._seek_nodes(self._group)
        except* Exception as errors:  # a defect: nobody may wait for ever because of it
            reason = f"the client failed: {errors.exceptions[0]!r}"
            raise
        finally:
            self._closed = True
            for operation in self._wheel.pending():
                self._give_up(operation, reason)
            self._wheel.stop()

    async def _seek_nodes(self, group: asyncio.TaskGroup) -> None:
        """Whenever operations wait and no connection takes them, find a node."""
        while True:
            await self._node_wanted.wait()
            while self.queue and self.queue[0].future.done():
                self.queue.popleft()
            if not self.queue:
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
        began = self._loop.time()
        try:
            connection = await Connection.open(address, self)
        except UnreachableError as error:
            now = self._loop.time()
            self._locator.unreachable(address, str(error), now, now - began)
            return None
        self._keep(connection, group)
        return connection

    def _keep(self, connection: Connection, group: asyncio.TaskGroup) -> None:
        """Let a connection live; it may become active."""
        self._connections[connection.address] = connection
        group.create_task(connection.run(), name=f"raft-client-to-{connection.address}")

    def _enqueue(self, operation: Operation) -> None:
        self.queue.append(operation)
        self._serve_queue()

    def _serve_queue(self) -> None:
        if self._active is not None:
            self._active.wake()
        else:
            self._node_wanted.set()

    def _open_session(self, timeout: float) -> None:
        """Ask for a new session; gives up after `timeout` seconds, and begins again if commands still wait then."""
        self._session = None
        self._opening = opening = Operation("open_session", "open_session", None, b"", timeout=timeout, loop=self._loop)
        opening.future.add_done_callback(lambda _future: self._session_opened(opening))
        self._wheel.add(opening)
        self._enqueue(opening)

    def _session_opened(self, opening: Operation) -> None:
        """The session is open, or could not be opened in time."""
        self._opening = None
        self._wheel.discard(opening)
        waiting = [operation for operation in self._without_session if not operation.future.done()]
        self._without_session.clear()
        error = opening.future.exception()
        if isinstance(error, InvalidOperationError):
            for operation in waiting:
                operation.future.set_exception(OperationFailedError(f"{operation}: no session can be had: {error}"))
            return
        if error is None:
            self._session = Session(opening.future.result().session_id, self._loop.time)
        if waiting:
            self.queue.extendleft(reversed(waiting))
            self._serve_queue()

    def _confirm(self, connection: Connection) -> None:
        """The node has done what was asked for."""
        if not connection.confirmed and connection.active:
            connection.confirmed = True
            self._locator.found(connection.address)

    def _leave(self, connection: Connection) -> None:
        """Send nothing more there, and ask another node for all that is not answered."""
        connection.active = False
        self._active = None
        unanswered = [operation for operation in connection.in_flight.values() if not operation.future.done()]
        connection.in_flight.clear()
        for operation in unanswered:
            operation.connection = None
            operation.indeterminate = True
        self.queue.extendleft(reversed(unanswered))
        if self.queue:
            self._node_wanted.set()

    def _handle_refusal(self, connection: Connection, outcome: pb.Outcome) -> None:
        """The node can't do what the operations ask for now; what it answered so is surely not done."""
        if connection is not self._active:
            return
        if outcome.code == pb.OUTCOME_CODE_NOT_LEADER:
            reason = f"not the leader; it follows {outcome.leader_id or 'nobody'}"
        else:
            reason = outcome.message or "unavailable"
        self._locator.refused(connection.address, reason, outcome.leader_address or None)
        self._leave(connection)

    def _handle_failure(self, connection: Connection, operation: Operation, outcome: pb.Outcome) -> None:
        """An outcome that says nothing against the node."""
        operation.connection = None
        match outcome.code:
            case pb.OUTCOME_CODE_BUSY:
                self._confirm(connection)
                self._put_off(operation)
            case pb.OUTCOME_CODE_INVALID:
                operation.future.set_exception(InvalidOperationError(f"{operation}: {outcome.message or 'invalid'}"))
            case pb.OUTCOME_CODE_SESSION_EXPIRED:
                self._handle_expired_session(operation)
            case _:
                operation.indeterminate = True
                self._put_off(operation)

    def _handle_expired_session(self, operation: Operation) -> None:
        """The command was not applied now. If it was sent before, nobody can say what became of that."""
        if operation.session is self._session:
            self._session = None
        if operation.indeterminate:
            operation.future.set_exception(
                OutcomeUnknownError(
                    f"{operation}: it was sent, its answer was lost, and its session has expired meanwhile; "
                    "it may or may not have been done"
                )
            )
        else:
            if operation.session is not None:
                operation.session.end(operation.sequence)
            operation.session = None
            self._put_off(operation)

    def _put_off(self, operation: Operation) -> None:
        """Try again a little later, and later still each time."""
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
        if connection is not None:
            reason += f" without an answer from {connection.address}"
        elif operation.indeterminate:
            reason += f" without an answer; {self._locator.describe()}"
        else:
            reason += f" before a node took it; {self._locator.describe()}"
        error: OperationError = OperationFailedError(f"{operation}: {reason}")
        if operation.kind == "command" and (connection is not None or operation.indeterminate):
            error = OutcomeUnknownError(f"{operation}: {reason}; it may or may not have been done")
        operation.future.set_exception(error)

    def _take_back(self, operation: Operation) -> Connection | None:
        """Wait no longer for the answer of the connection that the operation was written to, if any."""
        connection, operation.connection = operation.connection, None
        if not isinstance(connection, Connection):
            return None
        connection.in_flight.pop(operation.id, None)
        connection.wake()
        return connection

    def _notice_silence(self) -> None:
        """A node that is paused or cut off keeps its connections: leave it when nothing comes of them."""
        connection = self._active
        if connection is None:
            return
        if self._is_silent(connection, SILENCE_SECONDS):
            self._leave_silent(connection, None)
        elif self._group is not None and not self._doubts and self._is_silent(connection, DOUBT_SECONDS):
            self._doubts = {
                self._group.create_task(
                    self._doubt(self._group, connection, address), name=f"raft-client-asks-{address}"
                )
                for address in self._locator.others(connection.address)
            }
            for doubt in self._doubts:
                doubt.add_done_callback(self._doubts.discard)

    def _is_silent(self, connection: Connection, seconds: float) -> bool:
        """Whether operations have waited so long for anything to come of this connection, which is the active one."""
        since = connection.waiting_since
        return connection is self._active and since is not None and self._loop.time() - since > seconds

    def _leave_silent(self, connection: Connection, hint: str | None) -> None:
        """Leave the active node, for the one at `hint` if that is known."""
        now = self._loop.time()
        self._locator.failed(
            connection.address, f"silent for {now - (connection.waiting_since or now):.1f} s", now, hint
        )
        self._connections.pop(connection.address, None)
        self._leave(connection)
        connection.close()

    async def _doubt(self, group: asyncio.TaskGroup, silent: Connection, address: str) -> None:
        """While a node is silent, ask another one whether it will do, and if so go over to it.

        Whatever was sent to the silent one and may still be done there has its number: it is applied once.
        """
        try:
            channel = await open_channel(address)
        except UnreachableError:
            return
        pause = DOUBT_ASK_SECONDS
        async with AsyncExitStack() as stack:
            stack.push_async_callback(channel.close, None)
            while self._is_silent(silent, DOUBT_SECONDS):
                try:
                    async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                        status = await ask_status(channel)
                except (grpc.aio.AioRpcError, TimeoutError):
                    return
                if self._locator.accepts(status) and self._is_silent(silent, DOUBT_SECONDS):
                    if address not in self._connections:
                        stack.pop_all()
                        self._keep(Connection(address, channel, self), group)
                    self._leave_silent(silent, address)
                    return
                await asyncio.sleep(pause)
                pause *= DOUBT_ASK_FACTOR


def _succeed(connection: Connection, outcome: pb.Outcome) -> bool:
    """Operations are done; returns whether anybody was waiting for any of them."""
    index, session_id, results = outcome.index, outcome.session_id, outcome.results
    answer = Answer(b"", index, session_id)
    waited = False
    for place, operation in connection.answered(outcome):
        operation.future.set_result(Answer(results[place], index, session_id) if results else answer)
        waited = True
    return waited
