"""Executes the requests of clients on a replicated state machine that has no sessions of its own.

Sessions are local to the process: it remembers the sequence numbers that it has accepted, and accepts none twice. A
session that another process opened has expired here. So a command is never applied twice, and a client learns that
the outcome of a command whose response was lost is unknown.
"""

import asyncio
import random
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol

from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.client_services import Waiter
from raft_pkg.rpc.requests import request_count, request_type, split_request, validate

REQUESTS_MAX = 1024
"""Requests that may be in progress. Further ones are rejected as BUSY."""
SESSIONS_MAX = 1000
"""Sessions that are remembered. Opening another one expires the oldest."""


class ReplicatedStateMachine(Protocol):
    """The other system's state machine.

    Both methods return an outcome without an id. They must not repeat a command that may have been applied.
    """

    async def command(self, command: bytes) -> pb.Outcome:
        """Replicate and apply a serialized command (a `KvCommand` for the key-value store)."""
        ...

    async def query(self, query: bytes) -> pb.Outcome:
        """Execute a serialized linearizable read (a `KvQuery` for the key-value store)."""
        ...


class Leadership(Protocol):
    """What the node knows of the leader."""

    @property
    def leader(self) -> str | None:
        """Id of the leader; None when it is not known."""


class AcceptedSequences:
    """The sequence numbers of one session that this process has accepted."""

    def __init__(self) -> None:
        self._below = 1  # every lower number was accepted, or is not outstanding
        self._accepted: set[int] = set()

    def accept(self, sequence: int, acknowledged_below: int) -> bool:
        """Accept a sequence number; return False if it was accepted before.

        `acknowledged_below` is the client's acknowledged low-water mark: no lower number is outstanding.
        """
        if acknowledged_below > self._below:
            self._below = acknowledged_below
            self._accepted = {accepted for accepted in self._accepted if accepted >= acknowledged_below}
        if sequence < self._below or sequence in self._accepted:
            return False
        self._accepted.add(sequence)
        return True


class CommandExecutor:
    """Executes requests on the leader; implements `raft_pkg.rpc.client_services.RequestHandler`.

    `peers` are the addresses at which clients reach each node, by node id.
    """

    def __init__(
        self, node_id: str, peers: Mapping[str, str], leadership: Leadership, state_machine: ReplicatedStateMachine
    ) -> None:
        self._node_id = node_id
        self._peers = peers
        self._leadership = leadership
        self._state_machine = state_machine
        self._sessions: dict[int, AcceptedSequences] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(
        self, waiter: Waiter, requests: Sequence[pb.Request], *, session_id: int = 0, acknowledged: int = 0
    ) -> None:
        """Start or reject each request."""
        for batch in requests:
            error = validate(batch, session_id)
            if error:
                waiter.complete(
                    pb.Outcome(
                        id=batch.id,
                        count=request_count(batch),
                        code=pb.OUTCOME_CODE_INVALID,
                        message=f"request {batch.id}: {error}",
                    )
                )
                continue
            for request in split_request(batch):
                self._start(waiter, request, session_id, acknowledged)
        waiter.flush()

    async def while_running(self, work: Coroutine[Any, Any, None]) -> None:
        """Await `work`: the gRPC server cancels the calls in progress when the process stops."""
        await work

    def _start(self, waiter: Waiter, request: pb.Request, session_id: int, acknowledged: int) -> None:
        outcome = self._execute_inline(request, session_id, acknowledged)
        if outcome is not None:
            outcome.id = request.id
            waiter.complete(outcome)
            return
        task = asyncio.create_task(self._execute(waiter, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _execute_inline(self, request: pb.Request, session_id: int, acknowledged: int) -> pb.Outcome | None:
        """Return the outcome of a request that does not reach the state machine; None for all others."""
        body = request_type(request)
        leader = self._leadership.leader
        if leader is None or (leader != self._node_id and not (body == "queries" and request.any_node)):
            return pb.Outcome(
                code=pb.OUTCOME_CODE_NOT_LEADER,
                message=f"{self._node_id} is not the leader",
                leader_id=leader or "",
                leader_address=self._peers.get(leader or "", ""),
            )
        if body == "open_session":
            return pb.Outcome(code=pb.OUTCOME_CODE_OK, session_id=self._open_session())
        if len(self._tasks) >= REQUESTS_MAX:
            return pb.Outcome(code=pb.OUTCOME_CODE_BUSY, message=f"{REQUESTS_MAX} requests are in progress")
        if body == "commands" and session_id:
            session = self._sessions.get(session_id)
            if session is None:
                return _expired("the session was opened by another process, or expired")
            if not session.accept(request.sequence, acknowledged):
                return _expired(f"sequence number {request.sequence} was accepted before")
        return None

    def _open_session(self) -> int:
        if len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[next(iter(self._sessions))]
        session_id = random.SystemRandom().getrandbits(63) | 1
        self._sessions[session_id] = AcceptedSequences()
        return session_id

    async def _execute(self, waiter: Waiter, request: pb.Request) -> None:
        if request.queries:
            outcome = await self._state_machine.query(request.queries[0])
        else:
            outcome = await self._state_machine.command(request.commands[0])
        outcome.id = request.id
        waiter.complete(outcome)
        waiter.flush()


def _expired(message: str) -> pb.Outcome:
    return pb.Outcome(code=pb.OUTCOME_CODE_SESSION_EXPIRED, message=message)
