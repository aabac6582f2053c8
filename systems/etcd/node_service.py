"""The Node service of raft.proto, by etcd's API."""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import grpc.aio

from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc import raft_pb2_grpc
from raft_testbed.adapter import NodeEnvironment
from systems.etcd import etcd_pb2 as etcd
from systems.etcd.etcd_pb2_grpc import ClusterStub, MaintenanceStub
from systems.etcd.leadership import LeadershipTracker

if TYPE_CHECKING:
    from systems.etcd.etcd_pb2_grpc import ClusterAsyncStub, MaintenanceAsyncStub

STATUS_SECONDS_MAX = 0.5
"""How long etcd may take to report its status. Less than clients wait for a node's status."""
POLL_SECONDS = 0.05
TRANSFER_SECONDS_MAX = 10.0

Context = grpc.aio.ServicerContext[Any, Any]


class NodeService(raft_pb2_grpc.NodeServicer):
    """Reports the node's status and transfers leadership."""

    def __init__(self, environment: NodeEnvironment, leadership: LeadershipTracker, channel: grpc.aio.Channel) -> None:
        self._environment = environment
        self._leadership = leadership
        self._maintenance: MaintenanceAsyncStub = MaintenanceStub(channel)
        self._cluster: ClusterAsyncStub = ClusterStub(channel)
        self._started_at = time.monotonic()
        self._has_responded = False

    async def etcd_status(self) -> etcd.StatusResponse:
        """Return etcd's own status. Raise `grpc.aio.AioRpcError` on failure."""
        return await self._maintenance.Status(etcd.StatusRequest(), timeout=STATUS_SECONDS_MAX)

    async def Status(self, _request: pb.StatusRequest, context: Context) -> pb.StatusResponse:  # noqa: N802
        """See raft.proto. UNAVAILABLE when etcd, which responded before, does not respond."""
        leader = self._leadership.leader or ""
        response = pb.StatusResponse(
            id=self._environment.node_id,
            role="leader" if leader == self._environment.node_id else "follower",
            term=self._leadership.term,
            leader_id=leader,
            leader_address=self._environment.peers.get(leader, ""),
            last_log_index=self._leadership.recovered_index,
            voters=sorted(self._environment.peers),
            version="etcd",
            uptime_seconds=time.monotonic() - self._started_at,
        )
        try:
            status, members = await asyncio.gather(self.etcd_status(), self._members())
        except grpc.aio.AioRpcError as error:
            if self._has_responded:
                await context.abort(grpc.StatusCode.UNAVAILABLE, f"etcd does not respond: {error.details()}")
            return response  # etcd does not respond before it has found a leader
        self._has_responded = True
        response.commit_index = response.last_log_index = status.raft_index
        response.applied_index = status.raft_applied_index
        response.voters[:] = sorted(member.name for member in members if not member.is_learner)
        response.learners[:] = sorted(member.name for member in members if member.is_learner)
        response.version = f"etcd {status.version}"
        return response

    async def TransferLeadership(  # noqa: N802
        self, request: pb.TransferLeadershipRequest, context: Context
    ) -> pb.TransferLeadershipResponse:
        """See raft.proto."""
        if self._leadership.leader != self._environment.node_id:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not the leader")
        try:
            target = [member.id for member in await self._members() if member.name == request.target]
            if not target:
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{request.target} is not a member")
            move = etcd.MoveLeaderRequest(target_id=target[0])
            await self._maintenance.MoveLeader(move, timeout=TRANSFER_SECONDS_MAX)
        except grpc.aio.AioRpcError as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"etcd: {error.details()}")
        deadline = time.monotonic() + TRANSFER_SECONDS_MAX
        while self._leadership.leader != request.target:
            if time.monotonic() > deadline:
                await context.abort(grpc.StatusCode.UNAVAILABLE, f"{request.target} did not become leader in time")
            await asyncio.sleep(POLL_SECONDS)
        return pb.TransferLeadershipResponse(term=self._leadership.term)

    async def Members(self, _request: pb.MembersRequest, context: Context) -> pb.MembersResponse:  # noqa: N802
        """Not implemented: etcd does not report the progress of its members."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the etcd adapter does not list members")

    async def ChangeMembers(  # noqa: N802
        self, _request: pb.ChangeMembersRequest, context: Context
    ) -> pb.ChangeMembersResponse:
        """Not implemented: a new member of etcd must know the others when it is started."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the etcd adapter does not change members")

    async def _members(self) -> Sequence[etcd.Member]:
        response = await self._cluster.MemberList(etcd.MemberListRequest(), timeout=STATUS_SECONDS_MAX)
        return response.members
