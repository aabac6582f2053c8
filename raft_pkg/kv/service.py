"""The gRPC service of the key-value store: one unary call per operation."""

from typing import Any, Protocol

import grpc.aio

from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.kv import kv_pb2_grpc
from raft_pkg.kv.limits import check_key, check_value

Context = grpc.aio.ServicerContext[Any, Any]


class StateMachineCalls(Protocol):
    """Access to the replicated state machine for unary gRPC calls.

    Both methods return the state machine's result and the log index at which it was applied or read. When there is no
    result they abort the call, with the status codes and the trailing metadata that kv.proto documents.
    """

    async def command(self, command: bytes, context: Context) -> tuple[bytes, int]:
        """Replicate a serialized command and apply it."""
        ...

    async def query(self, query: bytes, context: Context) -> tuple[bytes, int]:
        """Answer a serialized query, linearizably."""
        ...


class KeyValueService(kv_pb2_grpc.KeyValueServicer):
    """Serves the operations of kv.proto by a replicated `KeyValueStore`."""

    def __init__(self, calls: StateMachineCalls) -> None:
        self._calls = calls

    async def Put(self, request: kv.PutRequest, context: Context) -> kv.PutResponse:  # noqa: N802
        """See kv.proto."""
        _, index = await self._command(kv.KvCommand(put=request), request, context)
        return kv.PutResponse(index=index)

    async def Get(self, request: kv.GetRequest, context: Context) -> kv.GetResponse:  # noqa: N802
        """See kv.proto."""
        await _check(request, context)
        query = kv.KvQuery(get=request).SerializeToString()
        result, index = await _parse(await self._calls.query(query, context), context)
        if not result.found:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no such key: {request.key}")
        return kv.GetResponse(value=result.value, index=index)

    async def Delete(self, request: kv.DeleteRequest, context: Context) -> kv.DeleteResponse:  # noqa: N802
        """See kv.proto."""
        result, index = await self._command(kv.KvCommand(delete=request), request, context)
        return kv.DeleteResponse(existed=result.found, index=index)

    async def CompareAndSet(  # noqa: N802
        self, request: kv.CompareAndSetRequest, context: Context
    ) -> kv.CompareAndSetResponse:
        """See kv.proto."""
        result, index = await self._command(kv.KvCommand(compare_and_set=request), request, context)
        current = result.value if result.HasField("value") else None
        return kv.CompareAndSetResponse(succeeded=result.found, current=current, index=index)

    async def Append(self, request: kv.AppendRequest, context: Context) -> kv.AppendResponse:  # noqa: N802
        """See kv.proto."""
        result, index = await self._command(kv.KvCommand(append=request), request, context)
        return kv.AppendResponse(length=result.length, index=index)

    async def _command(self, command: kv.KvCommand, request: Any, context: Context) -> tuple[kv.KvResult, int]:
        await _check(request, context)
        return await _parse(await self._calls.command(command.SerializeToString(), context), context)


def add_key_value_service(server: grpc.aio.Server, calls: StateMachineCalls) -> str:
    """Register the service with a server; return the service's full name."""
    kv_pb2_grpc.add_KeyValueServicer_to_server(KeyValueService(calls), server)
    return kv.DESCRIPTOR.services_by_name["KeyValue"].full_name


async def _check(request: Any, context: Context) -> None:
    """Abort the call when key or value break a limit."""
    try:
        check_key(request.key)
        check_value(request.key, getattr(request, "value", b""))
    except ValueError as error:
        await _abort_invalid(context, str(error))


async def _parse(answer: tuple[bytes, int], context: Context) -> tuple[kv.KvResult, int]:
    """Return result and index; abort the call when the state machine refused the command."""
    serialized, index = answer
    result = kv.KvResult.FromString(serialized)
    if result.error:
        await _abort_invalid(context, result.error)
    return result, index


async def _abort_invalid(context: Context, message: str) -> None:
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, message, (("raft-outcome", "failed"),))
