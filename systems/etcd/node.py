"""A node as the testbed's clients see it: raft.proto's services, answered by etcd.

Sessions are of this process: it knows the numbers of the commands that it was sent, and takes none twice. A session
that another process opened has expired here. So a client never gets a command applied twice, and learns that it can't
know what became of one whose answer was lost.
"""

import asyncio
import random
import time
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import grpc.aio

from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc import raft_pb2_grpc
from raft_pkg.rpc.client_services import Waiter
from raft_pkg.rpc.requests import request_count, request_type, split_request, validate
from systems.etcd import etcd_pb2 as etcd
from systems.etcd.etcd_pb2_grpc import ClusterStub, MaintenanceStub
from systems.etcd.operations import Operations
from systems.etcd.settings import Settings
from systems.etcd.witness import Witness

if TYPE_CHECKING:
    from systems.etcd.etcd_pb2_grpc import ClusterAsyncStub, MaintenanceAsyncStub

REQUESTS_MAX = 1024
"""Requests that wait for etcd; more are put off."""
SESSIONS_MAX = 1000
"""Sessions that are remembered; with one more, the oldest expires."""
STATUS_SECONDS_MAX = 0.5
"""How long etcd may take to say how it is: less than clients wait for the same."""
POLL_SECONDS = 0.05
TRANSFER_SECONDS_MAX = 10.0

Context = grpc.aio.ServicerContext[Any, Any]


class Session:
    """The numbers of the commands of one client that this process has taken."""

    def __init__(self) -> None:
        self._below = 1  # all numbers below are taken, or nobody waits for them
        self._taken: set[int] = set()

    def take(self, sequence: int, acknowledged: int) -> bool:
        """Whether this number is new; it is not the next time."""
        if acknowledged > self._below:
            self._below = acknowledged
            self._taken = {taken for taken in self._taken if taken >= acknowledged}
        if sequence < self._below or sequence in self._taken:
            return False
        self._taken.add(sequence)
        return True


class EtcdNode:
    """What raft_pkg's services of clients ask of a node."""

    def __init__(self, settings: Settings, witness: Witness, operations: Operations) -> None:
        self._settings = settings
        self._witness = witness
        self._operations = operations
        self._sessions: dict[int, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(
        self, waiter: Waiter, requests: Sequence[pb.Request], *, session_id: int = 0, acknowledged: int = 0
    ) -> None:
        """Begin each request, or complete it at once."""
        for row in requests:
            mistake = validate(row, session_id)
            if mistake:
                message = f"request {row.id}: {mistake}"
                code = pb.OUTCOME_CODE_INVALID
                waiter.complete(pb.Outcome(id=row.id, count=request_count(row), code=code, message=message))
                continue
            for request in split_request(row):
                self._begin(waiter, request, session_id, acknowledged)
        waiter.flush()

    def _begin(self, waiter: Waiter, request: pb.Request, session_id: int, acknowledged: int) -> None:
        outcome = self._answer_at_once(request, session_id, acknowledged)
        if outcome is not None:
            outcome.id = request.id
            waiter.complete(outcome)
            return
        task = asyncio.create_task(self._do(waiter, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def while_running(self, work: Coroutine[Any, Any, None]) -> None:
        """The server ends the calls that are under way when the process ends."""
        await work

    def _answer_at_once(self, request: pb.Request, session_id: int, acknowledged: int) -> pb.Outcome | None:
        """The outcome of a request that etcd has no part in; None: it is etcd's."""
        kind = request_type(request)
        leader = self._witness.leader
        if leader is None or (leader != self._settings.node_id and not (kind == "queries" and request.any_node)):
            return pb.Outcome(
                code=pb.OUTCOME_CODE_NOT_LEADER,
                message=f"{self._settings.node_id} is not the leader",
                leader_id=leader or "",
                leader_address=self._settings.peers.get(leader or "", ""),
            )
        if kind == "open_session":
            return pb.Outcome(code=pb.OUTCOME_CODE_OK, session_id=self._open_session())
        if len(self._tasks) >= REQUESTS_MAX:
            return pb.Outcome(code=pb.OUTCOME_CODE_BUSY, message=f"{REQUESTS_MAX} requests wait for etcd")
        if kind == "commands" and session_id:
            session = self._sessions.get(session_id)
            if session is None or not session.take(request.sequence, acknowledged):
                message = "opened elsewhere" if session is None else f"number {request.sequence} was taken before"
                return pb.Outcome(code=pb.OUTCOME_CODE_SESSION_EXPIRED, message=message)
        return None

    def _open_session(self) -> int:
        if len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[next(iter(self._sessions))]
        session_id = random.SystemRandom().getrandbits(63) | 1
        self._sessions[session_id] = Session()
        return session_id

    async def _do(self, waiter: Waiter, request: pb.Request) -> None:
        if request.queries:
            outcome = await self._operations.query(request.queries[0])
        else:
            outcome = await self._operations.command(request.commands[0])
        outcome.id = request.id
        waiter.complete(outcome)
        waiter.flush()


class NodeService(raft_pb2_grpc.NodeServicer):
    """The node as it sees itself, and transfers."""

    def __init__(self, settings: Settings, witness: Witness, channel: grpc.aio.Channel) -> None:
        self._settings = settings
        self._witness = witness
        self._maintenance: MaintenanceAsyncStub = MaintenanceStub(channel)
        self._cluster: ClusterAsyncStub = ClusterStub(channel)
        self._started_at = time.monotonic()
        self._has_answered = False

    async def etcd_status(self) -> etcd.StatusResponse:
        """What etcd says of itself. Raises `AioRpcError`."""
        return await self._maintenance.Status(etcd.StatusRequest(), timeout=STATUS_SECONDS_MAX)

    async def Status(self, _request: pb.StatusRequest, context: Context) -> pb.StatusResponse:  # noqa: N802
        """See raft.proto. UNAVAILABLE where etcd has fallen silent."""
        leader = self._witness.leader or ""
        answer = pb.StatusResponse(
            id=self._settings.node_id,
            role="leader" if leader == self._settings.node_id else "follower",
            term=self._witness.term,
            leader_id=leader,
            leader_address=self._settings.peers.get(leader, ""),
            last_log_index=self._witness.recovered_index,
            voters=sorted(self._settings.peers),
            version="etcd",
            uptime_seconds=time.monotonic() - self._started_at,
        )
        try:
            status, members = await asyncio.gather(self.etcd_status(), self._members())
        except grpc.aio.AioRpcError as error:
            if self._has_answered:
                await context.abort(grpc.StatusCode.UNAVAILABLE, f"etcd does not answer: {error.details()}")
            return answer  # it answers nobody before it has found a leader
        self._has_answered = True
        answer.commit_index = answer.last_log_index = status.raft_index
        answer.applied_index = status.raft_applied_index
        answer.voters[:] = sorted(member.name for member in members if not member.is_learner)
        answer.learners[:] = sorted(member.name for member in members if member.is_learner)
        answer.version = f"etcd {status.version}"
        return answer

    async def TransferLeadership(  # noqa: N802
        self, request: pb.TransferLeadershipRequest, context: Context
    ) -> pb.TransferLeadershipResponse:
        """See raft.proto."""
        if self._witness.leader != self._settings.node_id:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not the leader")
        try:
            target = [member.id for member in await self._members() if member.name == request.target]
            if not target:
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{request.target} is no member")
            move = etcd.MoveLeaderRequest(target_id=target[0])
            await self._maintenance.MoveLeader(move, timeout=TRANSFER_SECONDS_MAX)
        except grpc.aio.AioRpcError as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"etcd: {error.details()}")
        deadline = time.monotonic() + TRANSFER_SECONDS_MAX
        while self._witness.leader != request.target:
            if time.monotonic() > deadline:
                await context.abort(grpc.StatusCode.UNAVAILABLE, f"{request.target} is not known to lead")
            await asyncio.sleep(POLL_SECONDS)
        return pb.TransferLeadershipResponse(term=self._witness.term)

    async def Members(self, _request: pb.MembersRequest, context: Context) -> pb.MembersResponse:  # noqa: N802
        """Not offered: etcd tells nobody how far its members are."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the adapter of etcd lists no members")

    async def ChangeMembers(  # noqa: N802
        self, _request: pb.ChangeMembersRequest, context: Context
    ) -> pb.ChangeMembersResponse:
        """Not offered: a new member of etcd must be told of the others when it is started."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the adapter of etcd changes no members")

    async def _members(self) -> Sequence[etcd.Member]:
        answer = await self._cluster.MemberList(etcd.MemberListRequest(), timeout=STATUS_SECONDS_MAX)
        return answer.members
