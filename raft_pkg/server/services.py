"""The gRPC services of a node: thin, each hands its work to the node's loop and waits for outcomes."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, NoReturn, Protocol

import grpc.aio

from raft_pkg import __version__
from raft_pkg.addresses import parse_address
from raft_pkg.core.configuration import Configuration, Member
from raft_pkg.core.membership import AddLearner, Change, ChangeRefusedError, Promote, Remove
from raft_pkg.core.raft import NotLeaderError, TransferRefusedError
from raft_pkg.errors import ConfigurationError
from raft_pkg.kv.limits import check_key, check_value
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc import raft_pb2_grpc
from raft_pkg.rpc.codec import DecodeError, decode_message
from raft_pkg.rpc.requests import count_of, result_of_one
from raft_pkg.server.node import Node
from raft_pkg.server.pending import Waiter

OUTCOME_BATCH_BYTES_MAX = 2 * 1024 * 1024
"""A message takes no further outcome once it has reached this many bytes. With one more it stays below the 4 MiB that
gRPC clients take unless told otherwise."""
WAITING_OUTCOMES_BYTES_MAX = 16 * 1024 * 1024
"""While so many bytes of outcomes wait for a client that does not read, nothing more is read from it."""
OUTCOME_OVERHEAD_BYTES = 64
"""What an outcome counts for besides its bytes on the wire."""

Context = grpc.aio.ServicerContext[Any, Any]


class RaftPeerService(raft_pb2_grpc.RaftPeerServicer):
    """Takes in what peers send."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def Deliver(self, batches: AsyncIterator[pb.PeerBatch], context: Context) -> pb.DeliverReply:  # noqa: N802
        """See raft.proto."""
        await self._node.while_running(self._take_in(batches, context))
        return pb.DeliverReply()

    async def _take_in(self, batches: AsyncIterator[pb.PeerBatch], context: Context) -> None:
        me = self._node.config.node_id
        async for batch in batches:
            for message in batch.messages:
                if message.to != me:
                    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"this is {me}, not {message.to}")
            try:
                self._node.deliver([decode_message(message) for message in batch.messages], batch.from_address)
            except DecodeError as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))


class StreamWaiter:
    """Gathers the outcomes of one client's stream; those of a turn leave together, as far as a message holds them."""

    def __init__(self) -> None:
        self._outcomes: deque[pb.Outcome] = deque()
        self._outcome_bytes = 0
        self._under_way = 0
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False

    def expect(self, count: int) -> None:
        """So many requests were read; an outcome of each will come."""
        self._under_way += count

    def settle(self, outcome: pb.Outcome) -> None:
        """Take one outcome of this turn, of one request or several."""
        self._under_way -= 1 + outcome.further
        self._outcomes.append(outcome)
        self._outcome_bytes += _size(outcome)
        if self._outcome_bytes >= WAITING_OUTCOMES_BYTES_MAX:
            self._room.clear()

    def flush(self) -> None:
        """Let the writer go."""
        self._ready.set()

    def close(self) -> None:
        """The client will send no more."""
        self._closed = True
        self._ready.set()

    async def room(self) -> None:
        """Wait until the client has taken enough of the outcomes that wait for it."""
        await self._room.wait()

    async def next_batch(self) -> pb.OutcomeBatch | None:
        """The outcomes there are, as soon as there are any; None: the client closed, and has got them all."""
        while not self._outcomes:
            if self._closed and not self._under_way:
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


class Commands(Protocol):
    """What clients' services need of a node: ours, or another Raft's behind an adapter."""

    def submit(
        self, waiter: Waiter, requests: Sequence[pb.Request], *, session_id: int = 0, acknowledged: int = 0
    ) -> None:
        """Settle each request with the waiter, once, in any order."""
        ...

    async def while_running(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work, but not beyond the node's life."""
        ...


class CommandStreamService(raft_pb2_grpc.CommandStreamServicer):
    """Batches of commands and queries from one client, until it closes the stream."""

    def __init__(self, node: Commands) -> None:
        self._node = node

    async def Run(  # noqa: N802
        self, batches: AsyncIterator[pb.RequestBatch], _context: Context
    ) -> AsyncIterator[pb.OutcomeBatch]:
        """See raft.proto."""
        waiter = StreamWaiter()
        reader = asyncio.create_task(self._node.while_running(self._read(batches, waiter)))
        try:
            while (batch := await waiter.next_batch()) is not None:
                yield batch
        finally:
            reader.cancel()

    async def _read(self, batches: AsyncIterator[pb.RequestBatch], waiter: StreamWaiter) -> None:
        try:
            async for batch in batches:
                waiter.expect(sum(map(count_of, batch.requests)))
                self._node.submit(
                    waiter, batch.requests, session_id=batch.session_id, acknowledged=batch.acknowledged_below
                )
                await waiter.room()
        finally:
            waiter.close()


class UnaryWaiter:
    """Waits for one outcome."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[pb.Outcome] = asyncio.get_running_loop().create_future()

    def settle(self, outcome: pb.Outcome) -> None:
        """Take the outcome; nobody may be waiting any longer."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def flush(self) -> None:
        """Nothing to send: whoever awaits the future does."""


_STATUS = {
    pb.OUTCOME_CODE_NOT_LEADER: grpc.StatusCode.FAILED_PRECONDITION,
    pb.OUTCOME_CODE_INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    pb.OUTCOME_CODE_BUSY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    pb.OUTCOME_CODE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    pb.OUTCOME_CODE_UNKNOWN: grpc.StatusCode.UNAVAILABLE,
    pb.OUTCOME_CODE_SESSION_EXPIRED: grpc.StatusCode.FAILED_PRECONDITION,
}


class KeyValueService(raft_pb2_grpc.KeyValueServicer):
    """One call an operation, in the key-value store's terms."""

    def __init__(self, node: Commands) -> None:
        self._node = node

    async def Put(self, request: pb.PutRequest, context: Context) -> pb.PutResponse:  # noqa: N802
        """See raft.proto."""
        _, index = await self._command(pb.KvCommand(put=request), request, context)
        return pb.PutResponse(index=index)

    async def Get(self, request: pb.GetRequest, context: Context) -> pb.GetResponse:  # noqa: N802
        """See raft.proto."""
        await self._check(request, context)
        query = pb.KvQuery(get=request).SerializeToString()
        result, index = await self._run(pb.Request(queries=[query]), context)
        if not result.found:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no such key: {request.key}")
        return pb.GetResponse(value=result.value, index=index)

    async def Delete(self, request: pb.DeleteRequest, context: Context) -> pb.DeleteResponse:  # noqa: N802
        """See raft.proto."""
        result, index = await self._command(pb.KvCommand(delete=request), request, context)
        return pb.DeleteResponse(existed=result.found, index=index)

    async def CompareAndSet(  # noqa: N802
        self, request: pb.CompareAndSetRequest, context: Context
    ) -> pb.CompareAndSetResponse:
        """See raft.proto."""
        result, index = await self._command(pb.KvCommand(compare_and_set=request), request, context)
        current = result.value if result.HasField("value") else None
        return pb.CompareAndSetResponse(succeeded=result.found, current=current, index=index)

    async def Append(self, request: pb.AppendRequest, context: Context) -> pb.AppendResponse:  # noqa: N802
        """See raft.proto."""
        result, index = await self._command(pb.KvCommand(append=request), request, context)
        return pb.AppendResponse(length=result.length, index=index)

    async def _command(self, command: pb.KvCommand, request: Any, context: Context) -> tuple[pb.KvResult, int]:
        await self._check(request, context)
        return await self._run(pb.Request(commands=[command.SerializeToString()]), context)

    async def _check(self, request: Any, context: Context) -> None:
        try:
            check_key(request.key)
            check_value(request.key, getattr(request, "value", b""))
        except ValueError as error:
            await self._abort(context, grpc.StatusCode.INVALID_ARGUMENT, str(error), "failed")

    async def _run(self, request: pb.Request, context: Context) -> tuple[pb.KvResult, int]:
        waiter = UnaryWaiter()
        self._node.submit(waiter, [request])
        outcome = await waiter.outcome
        if outcome.code != pb.OUTCOME_CODE_OK:
            happened = "unknown" if outcome.code == pb.OUTCOME_CODE_UNKNOWN else "failed"
            await self._abort(context, _STATUS[outcome.code], outcome.message, happened, _leader_metadata(outcome))
        result = pb.KvResult.FromString(result_of_one(outcome))
        if result.error:
            await self._abort(context, grpc.StatusCode.INVALID_ARGUMENT, result.error, "failed")
        return result, outcome.index

    async def _abort(
        self,
        context: Context,
        code: grpc.StatusCode,
        message: str,
        outcome: str,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> NoReturn:
        await context.abort(code, message, (("raft-outcome", outcome), *metadata))


def _leader_metadata(known: pb.Outcome | pb.StatusResponse) -> tuple[tuple[str, str], ...]:
    """Who leads, for a client that asked another node; empty when it is not known."""
    if not known.leader_id:
        return ()
    return (("raft-leader-id", known.leader_id), ("raft-leader-address", known.leader_address))


class NodeService(raft_pb2_grpc.NodeServicer):
    """The node as it sees itself."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def Status(self, _request: pb.StatusRequest, _context: Context) -> pb.StatusResponse:  # noqa: N802
        """See raft.proto."""
        status = self._node.status()
        status.version = __version__
        return status

    async def TransferLeadership(  # noqa: N802
        self, request: pb.TransferLeadershipRequest, context: Context
    ) -> pb.TransferLeadershipResponse:
        """See raft.proto."""
        try:
            await self._node.transfer_leadership(request.target)
        except NotLeaderError:
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, "not the leader", _leader_metadata(self._node.status())
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
                    "leadership was lost before the change was done; whether it will be, the members tell",
                    _leader_metadata(self._node.status()),
                )
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, "not the leader", _leader_metadata(self._node.status())
            )
        except ChangeRefusedError as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return pb.ChangeMembersResponse(configuration_index=index)


def _change_of(request: pb.ChangeMembersRequest) -> Change:
    """The change that is asked for. Raises `ValueError` when there can be no such change."""
    match request.WhichOneof("change"):
        case "add_learner":
            new = request.add_learner
            Configuration((Member(new.id, new.address),))  # checks the identity
            try:
                parse_address(new.address, "address")
            except ConfigurationError as error:
                raise ValueError(str(error)) from None
            return AddLearner(new.id, new.address, new.promote)
        case "promote":
            return Promote(request.promote)
        case "remove":
            return Remove(request.remove)
    raise ValueError("no change that this version knows")
