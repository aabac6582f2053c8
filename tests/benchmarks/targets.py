"""Benchmark targets: each system through a client that a Python user of it would write."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence

import grpc
import grpc.aio

from raft_pkg.client import AsyncRaftClient
from raft_pkg.errors import OperationFailedError, OutcomeUnknownError
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.kv import kv_pb2_grpc
from raft_testbed.bench import AnyNodeReads, Target
from systems.etcd import etcd_pb2 as etcd
from systems.etcd.etcd_pb2_grpc import KVStub

OPERATION_SECONDS_MAX = 5.0
CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    # gRPC's default of one second would dominate the time of a failover or restart.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
)


class Etcd:
    """etcd's key-value service, called with grpc.aio; operations rotate over the endpoints."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        self._channels = [grpc.aio.insecure_channel(endpoint, options=CHANNEL_OPTIONS) for endpoint in endpoints]
        self._stubs = itertools.cycle([KVStub(channel) for channel in self._channels])

    async def put(self, key: str, value: bytes) -> None:
        request = etcd.PutRequest(key=key.encode(), value=value)
        try:
            await next(self._stubs).Put(request, timeout=OPERATION_SECONDS_MAX)
        except grpc.aio.AioRpcError as error:
            raise OutcomeUnknownError(f"put of {key}: {error.code()}: {error.details()}") from None

    async def get(self, key: str) -> None:
        try:
            found = await next(self._stubs).Range(etcd.RangeRequest(key=key.encode()), timeout=OPERATION_SECONDS_MAX)
        except grpc.aio.AioRpcError as error:
            raise OperationFailedError(f"get of {key}: {error.code()}: {error.details()}") from None
        if found.count != 1:
            raise OperationFailedError(f"get of {key}: {found.count} values")

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


class Unary:
    """A unary call for each operation: raft_pkg's KeyValue service, or a server with the same messages."""

    def __init__(self, endpoint: str) -> None:
        self._channel = grpc.aio.insecure_channel(endpoint, options=CHANNEL_OPTIONS)
        self._stub = kv_pb2_grpc.KeyValueStub(self._channel)

    async def put(self, key: str, value: bytes) -> None:
        try:
            await self._stub.Put(kv.PutRequest(key=key, value=value), timeout=OPERATION_SECONDS_MAX)
        except grpc.aio.AioRpcError as error:
            raise OutcomeUnknownError(f"put of {key}: {error.code()}: {error.details()}") from None

    async def get(self, key: str) -> None:
        raise NotImplementedError("only puts are measured")

    async def close(self) -> None:
        await self._channel.close()


@contextlib.asynccontextmanager
async def connected(system: str, endpoints: Sequence[str], *, any_node: bool = False) -> AsyncIterator[Target]:
    """Connect a client to a system: `raft`, `etcd` or `unary`."""
    if system == "raft":
        async with AsyncRaftClient(endpoints, timeout=OPERATION_SECONDS_MAX) as client:
            yield AnyNodeReads(client) if any_node else client
        return
    target = Etcd(endpoints) if system == "etcd" else Unary(endpoints[0])
    try:
        yield target
    finally:
        await target.close()
