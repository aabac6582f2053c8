"""A real gRPC server whose nodes answer as a test tells them to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import pytest

from raft_pkg.rpc import raft_pb2 as pb

Script = Callable[[pb.Request], pb.Outcome | None]


class ScriptedNode:
    """Answers each request with what `script` returns for it (None: never), and remembers what it was asked.

    A script that raises ConnectionResetError ends the stream without an answer.
    """

    def __init__(self) -> None:
        self.script: Script = lambda request: pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_OK, index=1)
        self.delay_seconds = 0.0  # of every answer
        self.requests: list[pb.Request] = []
        self.batch_sizes: list[int] = []
        self.asked = asyncio.Event()
        self.status = pb.StatusResponse()
        self.port = 0
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def says(self, code: int, **fields: object) -> None:
        """From now on every answer is this one."""
        self.script = lambda request: pb.Outcome(id=request.id, code=code, **fields)

    def never_answers(self) -> None:
        self.script = lambda _request: None

    def says_one_by_one(self, *codes: int | None) -> None:
        """The answers to the next requests (None: no answer), then OK."""
        coming = list(codes)

        def answer(request: pb.Request) -> pb.Outcome | None:
            code = coming.pop(0) if coming else pb.OUTCOME_CODE_OK
            return None if code is None else pb.Outcome(id=request.id, code=code, index=1)

        self.script = answer

    async def start(self) -> None:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        run = grpc.stream_stream_rpc_method_handler(
            self._run, pb.RequestBatch.FromString, pb.OutcomeBatch.SerializeToString
        )
        status = grpc.unary_unary_rpc_method_handler(
            self._status, pb.StatusRequest.FromString, pb.StatusResponse.SerializeToString
        )
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler("raft.v1.CommandStream", {"Run": run}),
                grpc.method_handlers_generic_handler("raft.v1.Node", {"Status": status}),
            )
        )
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        await server.start()
        self._server = server

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)
            self._server = None

    async def _status(self, _request: pb.StatusRequest, _context: object) -> pb.StatusResponse:
        return self.status

    async def _run(self, batches: AsyncIterator[pb.RequestBatch], _context: object) -> AsyncIterator[pb.OutcomeBatch]:
        async for batch in batches:
            self.batch_sizes.append(len(batch.requests))
            self.requests.extend(batch.requests)
            self.asked.set()
            try:
                outcomes = [outcome for request in batch.requests if (outcome := self.script(request)) is not None]
            except ConnectionResetError:
                return
            await asyncio.sleep(self.delay_seconds)
            if outcomes:
                yield pb.OutcomeBatch(outcomes=outcomes)


@pytest.fixture
async def make_node() -> AsyncIterator[Callable[[], Awaitable[ScriptedNode]]]:
    nodes: list[ScriptedNode] = []

    async def make() -> ScriptedNode:
        node = ScriptedNode()
        nodes.append(node)
        await node.start()
        return node

    yield make
    for node in nodes:
        await node.stop()
