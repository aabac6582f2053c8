"""The gRPC services of an adapter, as clients use them."""

import grpc.aio
import pytest

from raft_pkg.client import AsyncRaftClient, OutcomeUnknownError
from raft_pkg.errors import ConfigurationError
from raft_pkg.kv import KeyValueStore
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.kv.kv_pb2_grpc import KeyValueStub
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.raft_pb2_grpc import NodeServicer
from raft_testbed.adapter import CommandExecutor, start_server


class LocalStateMachine:
    """A key-value store that is not replicated. Responses to commands are lost if `loses_responses` is set."""

    def __init__(self):
        self.store = KeyValueStore()
        self.index = 0
        self.loses_responses = False

    async def command(self, command):
        self.index += 1
        (result,) = self.store.apply([command])
        if self.loses_responses:
            return pb.Outcome(code=pb.OUTCOME_CODE_UNKNOWN)
        return pb.Outcome(code=pb.OUTCOME_CODE_OK, results=[result], index=self.index)

    async def query(self, query):
        return pb.Outcome(code=pb.OUTCOME_CODE_OK, results=[self.store.query(query)], index=self.index)


class SoleLeader(NodeServicer):
    leader = "raft-0"

    async def Status(self, _request, _context):  # noqa: N802
        return pb.StatusResponse(id="raft-0", role="leader", term=1, leader_id="raft-0")


@pytest.fixture
def state_machine():
    return LocalStateMachine()


@pytest.fixture
async def address(free_port, state_machine):
    address = f"127.0.0.1:{free_port}"
    node = SoleLeader()
    server = await start_server(address, CommandExecutor("raft-0", {"raft-0": address}, node, state_machine), node)
    yield address
    await server.stop(None)


async def test_serves_the_client_library(address):
    async with AsyncRaftClient(address) as client:
        assert await client.put("k", "a") == 1
        assert await client.append("k", "b") == 2
        assert await client.get("k") == b"ab"
        assert (await client.status()).leader_id == "raft-0"


async def test_serves_unary_calls(address):
    async with grpc.aio.insecure_channel(address) as channel:
        store = KeyValueStub(channel)
        await store.Put(kv.PutRequest(key="k", value=b"v"))
        assert (await store.Get(kv.GetRequest(key="k"))).value == b"v"


async def test_a_command_whose_response_is_lost_is_applied_once_and_has_an_unknown_outcome(address, state_machine):
    async with AsyncRaftClient(address) as client:
        await client.put("k", "a")
        state_machine.loses_responses = True
        with pytest.raises(OutcomeUnknownError, match="session has expired"):
            await client.append("k", "b")
        state_machine.loses_responses = False
        assert await client.get("k") == b"ab"


async def test_an_address_in_use_is_named(address, state_machine):
    node = SoleLeader()
    with pytest.raises(ConfigurationError, match=f"RAFT_LISTEN {address}"):
        await start_server(address, CommandExecutor("raft-0", {}, node, state_machine), node)
