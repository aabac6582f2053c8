"""The gRPC services of a Raft node for its peers and for operators. Each passes its work to the node's event loop."""

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from raft_pkg.addresses import parse_address
from raft_pkg.core.configuration import Configuration, Member
from raft_pkg.core.errors import ChangeRefusedError, NotLeaderError, TransferRefusedError
from raft_pkg.core.membership import AddLearner, Change, Promote, Remove
from raft_pkg.errors import ConfigurationError
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc import raft_pb2_grpc
from raft_pkg.rpc.client_services import leader_metadata
from raft_pkg.rpc.codec import DecodeError, decode_message
from raft_pkg.server.node import Node

Context = grpc.aio.ServicerContext[Any, Any]


class RaftPeerService(raft_pb2_grpc.RaftPeerServicer):
    """Receives the messages of peers."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def Deliver(self, batches: AsyncIterator[pb.PeerBatch], context: Context) -> pb.DeliverReply:  # noqa: N802
        """See raft.proto."""
        await self._node.while_running(self._receive(batches, context))
        return pb.DeliverReply()

    async def _receive(self, batches: AsyncIterator[pb.PeerBatch], context: Context) -> None:
        node_id = self._node.config.node_id
        async for batch in batches:
            for message in batch.messages:
                if message.to != node_id:
                    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"this is {node_id}, not {message.to}")
            try:
                self._node.deliver([decode_message(message) for message in batch.messages], batch.from_address)
            except DecodeError as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))


class NodeService(raft_pb2_grpc.NodeServicer):
    """Reports status and members, and takes requests of operators."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def Status(self, _request: pb.StatusRequest, _context: Context) -> pb.StatusResponse:  # noqa: N802
        """See raft.proto."""
        return self._node.status()

    async def TransferLeadership(  # noqa: N802
        self, request: pb.TransferLeadershipRequest, context: Context
    ) -> pb.TransferLeadershipResponse:
        """See raft.proto."""
        try:
            await self._node.transfer_leadership(request.target)
        except NotLeaderError:
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, "not the leader", leader_metadata(self._node.status())
            )
        except TransferRefusedError as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return pb.TransferLeadershipResponse(term=self._node.raft.current_term)

    async def Members(self, _request: pb.MembersRequest, _context: Context) -> pb.MembersResponse:  # noqa: N802
        """See raft.proto."""
        return self._node.members()

    async def ChangeMembers(  # noqa: N802
        self, request: pb.ChangeMembersRequest, context: Context
    ) -> pb.ChangeMembersResponse:
        """See raft.proto."""
        was_leader = self._node.is_leader
        try:
            index = await self._node.change_members(_change_of(request))
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except NotLeaderError:
            if was_leader:
                await context.abort(
                    grpc.StatusCode.UNAVAILABLE,
                    "leadership was lost before the change was committed; Members shows whether it takes effect",
                    leader_metadata(self._node.status()),
                )
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, "not the leader", leader_metadata(self._node.status())
            )
        except ChangeRefusedError as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return pb.ChangeMembersResponse(configuration_index=index)


def _change_of(request: pb.ChangeMembersRequest) -> Change:
    """Return the requested change. Raise `ValueError` if the request is invalid."""
    match request.WhichOneof("change"):
        case "add_learner":
            new = request.add_learner
            Configuration((Member(new.id, new.address),))  # validates the identity
            try:
                parse_address(new.address, "address")
            except ConfigurationError as error:
                raise ValueError(str(error)) from None
            return AddLearner(new.id, new.address, new.promote)
        case "promote":
            return Promote(request.promote)
        case "remove":
            return Remove(request.remove)
    raise ValueError("the request names no change that this version supports")
