"""Executes the operations of the key-value store with etcd's API.

An operation is not repeated once etcd may have applied it: its outcome is UNKNOWN then.
"""

from typing import TYPE_CHECKING

import grpc.aio
from google.protobuf.message import DecodeError

from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.kv.limits import check_key, check_value
from raft_pkg.rpc import raft_pb2 as pb
from systems.etcd import etcd_pb2 as etcd
from systems.etcd.etcd_pb2_grpc import KVStub

if TYPE_CHECKING:
    from systems.etcd.etcd_pb2_grpc import KVAsyncStub

CALL_SECONDS_MAX = 10.0
"""Longer than etcd's own timeout."""
APPEND_ATTEMPTS_MAX = 100
"""An append is repeated when it was not applied because another write changed its key in between."""
_NOT_APPLIED = {
    grpc.StatusCode.INVALID_ARGUMENT: pb.OUTCOME_CODE_INVALID,
    grpc.StatusCode.RESOURCE_EXHAUSTED: pb.OUTCOME_CODE_BUSY,  # too many pending requests, or no space in the database
}


class EtcdStateMachine:
    """The key-value store, replicated by the etcd to which the channel is connected."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._kv: KVAsyncStub = KVStub(channel)

    async def query(self, query: bytes) -> pb.Outcome:
        """Execute a serialized `KvQuery`. A read that fails may be repeated by the client."""
        try:
            key = kv.KvQuery.FromString(query).get.key
            check_key(key)
            found = await self._find(key)
        except (DecodeError, ValueError) as error:
            return _ok(kv.KvResult(error=str(error)), 0)
        except grpc.aio.AioRpcError as error:
            return pb.Outcome(code=pb.OUTCOME_CODE_UNAVAILABLE, message=_describe(error))
        value = found.kvs[0].value if found.kvs else None
        return _ok(kv.KvResult(found=value is not None, value=value), found.header.revision)

    async def command(self, command: bytes) -> pb.Outcome:
        """Apply a serialized `KvCommand`."""
        try:
            return await self._execute(kv.KvCommand.FromString(command))
        except (DecodeError, ValueError) as error:
            return _ok(kv.KvResult(error=str(error)), 0)
        except grpc.aio.AioRpcError as error:
            code = _NOT_APPLIED.get(error.code(), pb.OUTCOME_CODE_UNKNOWN)
            return pb.Outcome(code=code, message=_describe(error))

    async def _execute(self, command: kv.KvCommand) -> pb.Outcome:
        match command.WhichOneof("body"):
            case "put":
                return await self._put(command.put)
            case "delete":
                return await self._delete(command.delete)
            case "compare_and_set":
                return await self._compare_and_set(command.compare_and_set)
            case "append":
                return await self._append(command.append)
        raise ValueError("unknown type of command")

    async def _put(self, body: kv.PutRequest) -> pb.Outcome:
        check_key(body.key)
        check_value(body.key, body.value)
        done = await self._kv.Put(_put(body.key, body.value), timeout=CALL_SECONDS_MAX)
        return _ok(kv.KvResult(), done.header.revision)

    async def _delete(self, body: kv.DeleteRequest) -> pb.Outcome:
        check_key(body.key)
        request = etcd.DeleteRangeRequest(key=body.key.encode())
        done = await self._kv.DeleteRange(request, timeout=CALL_SECONDS_MAX)
        return _ok(kv.KvResult(found=done.deleted > 0), done.header.revision)

    async def _compare_and_set(self, body: kv.CompareAndSetRequest) -> pb.Outcome:
        check_key(body.key)
        check_value(body.key, body.value)
        expected = _has_value(body.key, body.expected) if body.HasField("expected") else _is_absent(body.key)
        done = await self._write_if(expected, body.key, body.value)
        if done.succeeded:
            return _ok(kv.KvResult(found=True), done.header.revision)
        found = done.responses[0].response_range.kvs
        return _ok(kv.KvResult(found=False, value=found[0].value if found else None), done.header.revision)

    async def _append(self, body: kv.AppendRequest) -> pb.Outcome:
        check_key(body.key)
        try:
            found = (await self._find(body.key)).kvs
        except grpc.aio.AioRpcError as error:  # nothing has been written
            return pb.Outcome(code=pb.OUTCOME_CODE_UNAVAILABLE, message=_describe(error))
        for _ in range(APPEND_ATTEMPTS_MAX):
            value = (found[0].value if found else b"") + body.value
            check_value(body.key, value)
            unchanged = _has_revision(body.key, found[0].mod_revision) if found else _is_absent(body.key)
            done = await self._write_if(unchanged, body.key, value)
            if done.succeeded:
                return _ok(kv.KvResult(length=len(value)), done.header.revision)
            found = done.responses[0].response_range.kvs
        message = f"{APPEND_ATTEMPTS_MAX} concurrent writes of {body.key!r}"
        return pb.Outcome(code=pb.OUTCOME_CODE_BUSY, message=message)

    async def _find(self, key: str) -> etcd.RangeResponse:
        return await self._kv.Range(etcd.RangeRequest(key=key.encode()), timeout=CALL_SECONDS_MAX)

    async def _write_if(self, condition: etcd.Compare, key: str, value: bytes) -> etcd.TxnResponse:
        """Write if the condition holds, otherwise read, in one transaction."""
        transaction = etcd.TxnRequest(
            compare=[condition],
            success=[etcd.RequestOp(request_put=_put(key, value))],
            failure=[etcd.RequestOp(request_range=etcd.RangeRequest(key=key.encode()))],
        )
        return await self._kv.Txn(transaction, timeout=CALL_SECONDS_MAX)


def _put(key: str, value: bytes) -> etcd.PutRequest:
    return etcd.PutRequest(key=key.encode(), value=value)


def _has_value(key: str, value: bytes) -> etcd.Compare:
    # no value, not even an empty one, equals that of an absent key
    return etcd.Compare(target=etcd.Compare.VALUE, key=key.encode(), value=value)


def _has_revision(key: str, revision: int) -> etcd.Compare:
    return etcd.Compare(target=etcd.Compare.MOD, key=key.encode(), mod_revision=revision)


def _is_absent(key: str) -> etcd.Compare:
    return etcd.Compare(target=etcd.Compare.CREATE, key=key.encode(), create_revision=0)


def _ok(result: kv.KvResult, revision: int) -> pb.Outcome:
    return pb.Outcome(code=pb.OUTCOME_CODE_OK, results=[result.SerializeToString()], index=revision)


def _describe(error: grpc.aio.AioRpcError) -> str:
    return error.details() or error.code().name
