"""gRPC servers that respond as a test scripts them, or like the leaders of one replicated state machine."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from inspect import isawaitable

import grpc
import pytest

from raft_pkg.kv import KeyValueStore
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.requests import split_request
from raft_pkg.server.sessions import SessionedMachine
from raft_pkg.server.state_machine import StateMachine
from tests.support.entries import command_entry

Script = Callable[[pb.Request], pb.Outcome | None]


def ok(request: pb.Request) -> pb.Outcome:
    return pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_OK, index=1, session_id=1 if request.open_session else 0)


class ScriptedNode:
    """Responds to each request with the outcome that `script` returns (None: never), and records the requests.

    A script that raises ConnectionResetError ends the stream without a response. `session_script` responds to requests
    for a session, which are recorded in `session_requests`. Batched requests are passed to the script one by one. If
    `batch_script` is set, it gets each batch as a whole instead, and returns a single outcome.
    """

    def __init__(self) -> None:
        self.script: Script = ok
        self.session_script: Script = ok
        self.batch_script: Callable[[pb.Request], pb.Outcome | Awaitable[pb.Outcome]] | None = None
        self.delay_seconds = 0.0  # of every response
        self.requests: list[pb.Request] = []
        self.session_requests: list[pb.Request] = []
        self.batches: list[pb.RequestBatch] = []
        self.batch_sizes: list[int] = []
        self.received = asyncio.Event()
        self.status = pb.StatusResponse()
        self.port = 0
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def respond_with(self, code: int, **fields: object) -> None:
        """Respond to every request with this outcome from now on."""
        self.script = self.session_script = lambda request: pb.Outcome(id=request.id, code=code, **fields)

    def stop_responding(self) -> None:
        """Keep the connections, but send nothing from now on."""
        self.script = self.session_script = lambda _request: None

    def respond_in_turn(self, *codes: int | None) -> None:
        """Respond to the next commands and queries with these codes (None: no response), then with OK."""
        remaining = list(codes)

        def respond(request: pb.Request) -> pb.Outcome | None:
            code = remaining.pop(0) if remaining else pb.OUTCOME_CODE_OK
            return None if code is None else pb.Outcome(id=request.id, code=code, index=1)

        self.script = respond

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
                grpc.method_handlers_generic_handler("raft.v2.CommandStream", {"Run": run}),
                grpc.method_handlers_generic_handler("raft.v2.Node", {"Status": status}),
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
            self.batches.append(batch)
            requests = [single for request in batch.requests for single in split_request(request)]
            self.batch_sizes.append(len(requests))
            self.requests.extend(request for request in requests if not request.open_session)
            self.session_requests.extend(request for request in requests if request.open_session)
            if self.requests:
                self.received.set()
            if self.batch_script is not None:
                responses = [self.batch_script(request) for request in batch.requests]
                yield pb.OutcomeBatch(outcomes=[await r if isawaitable(r) else r for r in responses])
                continue
            try:
                outcomes = [outcome for request in requests if (outcome := self.respond(request)) is not None]
            except ConnectionResetError:
                return
            await asyncio.sleep(self.delay_seconds)
            if outcomes:
                yield pb.OutcomeBatch(outcomes=outcomes)

    def respond(self, request: pb.Request) -> pb.Outcome | None:
        return self.session_script(request) if request.open_session else self.script(request)


class ReplicatedState:
    """The replicated state machine of a cluster, with sessions. All nodes that `serve` it act as leaders."""

    def __init__(self, machine: StateMachine | None = None) -> None:
        self.machine = SessionedMachine(machine or KeyValueStore())
        self.index = 0
        self.time_ms = 0  # log time
        self.ttl_ms = 600_000

    def serve(self, *nodes: ScriptedNode) -> None:
        for node in nodes:
            node.session_script = self.open_session
            node.script = lambda request, node=node: self.execute(node, request)

    def open_session(self, request: pb.Request) -> pb.Outcome:
        self.index += 1
        session_id = self.machine.open_session(pb.OpenSession(ttl_ms=self.ttl_ms, time_ms=self.time_ms))
        return pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_OK, index=self.index, session_id=session_id)

    def execute(self, node: ScriptedNode, request: pb.Request) -> pb.Outcome:
        if not request.commands:
            result = self.machine.query(request.queries[0])
            return pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_OK, results=[result], index=self.index)
        self.index += 1
        batch = node.batches[-1]
        session = batch.session_id, request.sequence, batch.acknowledged_below
        entry = command_entry([(request.commands[0], *session)], self.time_ms)
        (applied,) = self.machine.apply(entry, self.index)
        if applied.expired:
            return pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_SESSION_EXPIRED)
        return pb.Outcome(id=request.id, code=pb.OUTCOME_CODE_OK, results=[applied.result], index=applied.index)

    def value(self, key: str) -> bytes:
        return kv.KvResult.FromString(
            self.machine.query(kv.KvQuery(get=kv.GetRequest(key=key)).SerializeToString())
        ).value


def losing_responses(script: Script, *, times: int = 1) -> Script:
    """Execute requests with `script`, but break the stream before the first `times` responses are sent."""
    left = times

    def respond(request: pb.Request) -> pb.Outcome | None:
        nonlocal left
        outcome = script(request)
        if left:
            left -= 1
            raise ConnectionResetError
        return outcome

    return respond


async def wait_until(condition: Callable[[], object]) -> None:
    """Poll until the condition holds."""
    deadline = asyncio.get_running_loop().time() + 5
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition did not hold within 5 s"
        await asyncio.sleep(0.01)


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
