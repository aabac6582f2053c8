"""The gRPC services of real nodes with real files on loopback, as a client in any language uses them."""

import asyncio
import errno
import os
from collections import Counter

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from raft_pkg.core.messages import AppendEntries, Message, RequestVote
from raft_pkg.errors import StorageError
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc import raft_pb2_grpc
from raft_pkg.rpc.codec import encode_message
from raft_pkg.rpc.requests import single_result
from raft_pkg.storage import Filesystem
from tests.support.nodes import append, get, put
from tests.support.servers import Servers, Stream, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("services")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone(directory):
    """Yield a cluster of one node, which has elected itself."""
    async with Servers(directory / "alone", ["a"]) as servers:
        yield await servers.leader()


async def refused(call):
    """Await a call that must fail; return its error and its trailing metadata."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value, dict(tuple(error.value.trailing_metadata()))


# --- KeyValue: one operation per call ---------------------------------------------------------------------------------


async def test_get_returns_what_put_wrote(alone):
    written = await alone.key_value.Put(kv.PutRequest(key="put", value=b"1"))
    read = await alone.key_value.Get(kv.GetRequest(key="put"))
    assert (read.value, written.index > 0, read.index >= written.index) == (b"1", True, True)


async def test_a_missing_key_is_not_found(alone):
    error, _ = await refused(alone.key_value.Get(kv.GetRequest(key="nowhere")))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert "nowhere" in error.details()


async def test_a_deleted_key_is_not_found(alone):
    await alone.key_value.Put(kv.PutRequest(key="delete", value=b"1"))
    assert (await alone.key_value.Delete(kv.DeleteRequest(key="delete"))).existed
    assert not (await alone.key_value.Delete(kv.DeleteRequest(key="delete"))).existed
    error, _ = await refused(alone.key_value.Get(kv.GetRequest(key="delete")))
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_compare_and_set_returns_the_current_value(alone):
    cas = alone.key_value.CompareAndSet
    absent = await cas(kv.CompareAndSetRequest(key="cas", expected=b"0", value=b"1"))
    assert (absent.succeeded, absent.HasField("current")) == (False, False)
    created = await cas(kv.CompareAndSetRequest(key="cas", value=b"1"))
    assert (created.succeeded, created.HasField("current")) == (True, False)
    other = await cas(kv.CompareAndSetRequest(key="cas", expected=b"0", value=b"2"))
    assert (other.succeeded, other.current) == (False, b"1")
    assert (await cas(kv.CompareAndSetRequest(key="cas", expected=b"1", value=b"2"))).succeeded


async def test_append_extends_or_creates_a_value(alone):
    assert (await alone.key_value.Append(kv.AppendRequest(key="append", value=b"ab"))).length == 2
    assert (await alone.key_value.Append(kv.AppendRequest(key="append", value=b"c"))).length == 3
    assert (await alone.key_value.Get(kv.GetRequest(key="append"))).value == b"abc"


@pytest.mark.parametrize(
    ("method", "request_", "why"),
    [
        ("Put", kv.PutRequest(key="", value=b""), "key of 0 bytes"),
        ("Put", kv.PutRequest(key="k" * 1025), "key of 1025 bytes"),
        ("Put", kv.PutRequest(key="big", value=b"x" * (1024 * 1024 + 1)), "value of 1048577 bytes"),
        ("Get", kv.GetRequest(key=""), "key of 0 bytes"),
        ("Delete", kv.DeleteRequest(key=""), "key of 0 bytes"),
        ("CompareAndSet", kv.CompareAndSetRequest(key="é" * 513), "key of 1026 bytes"),
        ("Append", kv.AppendRequest(key="big", value=b"x" * (1024 * 1024 + 1)), "value of 1048577 bytes"),
    ],
)
async def test_a_key_or_value_over_the_limit_is_an_invalid_argument(alone, method, request_, why):
    error, metadata = await refused(getattr(alone.key_value, method)(request_))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert why in error.details()
    assert metadata["raft-outcome"] == "failed"


async def test_an_append_beyond_the_limit_is_an_invalid_argument(alone):
    await alone.key_value.Put(kv.PutRequest(key="grows", value=b"x" * 1024 * 1024))
    error, metadata = await refused(alone.key_value.Append(kv.AppendRequest(key="grows", value=b"x")))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert metadata["raft-outcome"] == "failed"
    assert len((await alone.key_value.Get(kv.GetRequest(key="grows"))).value) == 1024 * 1024


async def test_a_full_queue_is_resource_exhausted(alone, monkeypatch):
    monkeypatch.setattr("raft_pkg.server.in_flight.QUEUED_BYTES_MAX", 10)
    error, metadata = await refused(alone.key_value.Put(kv.PutRequest(key="full", value=b"1")))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert metadata["raft-outcome"] == "failed"


# --- CommandStream: batches in both directions ------------------------------------------------------------------------


async def test_each_request_of_a_message_gets_an_outcome(alone):
    stream = Stream(alone)
    await stream.send(*(put(f"stream-{number}", b"%d" % number, request_id=number) for number in range(50)))
    written = await stream.outcomes(50)
    assert {outcome.id for outcome in written} == set(range(50))
    await stream.send(*(get(f"stream-{number}", request_id=number) for number in range(50)))
    read = {outcome.id: kv.KvResult.FromString(single_result(outcome)).value for outcome in await stream.outcomes(50)}
    assert read == {number: b"%d" % number for number in range(50)}
    stream.call.cancel()


async def test_a_batch_of_requests_shares_one_outcome(alone):
    stream = Stream(alone)
    commands = [command for n in range(50) for command in put(f"key-{n}", b"%d" % n).commands]
    queries = [query for n in range(50) for query in get(f"key-{n}").queries]
    await stream.send(pb.Request(id=100, commands=commands))
    (written,) = await stream.outcomes(1)
    assert (written.id, written.count, written.code, list(written.results)) == (100, 50, pb.OUTCOME_CODE_OK, [])
    await stream.send(pb.Request(id=200, queries=queries))
    (read,) = await stream.outcomes(1)
    assert (read.id, read.count) == (200, 50)
    assert [kv.KvResult.FromString(result).value for result in read.results] == [b"%d" % n for n in range(50)]
    await stream.send(pb.Request(id=1, commands=commands[:2]), pb.Request(id=3, queries=queries[:2]))
    await stream.call.done_writing()
    await stream.outcomes(2)
    assert await stream.call.read() is grpc.aio.EOF, "the stream ends after one outcome of each request"


async def test_results_of_a_batch_larger_than_a_message_are_split(alone):
    value = b"x" * 700_000
    await alone.key_value.Put(kv.PutRequest(key="large", value=value))
    stream = Stream(alone)
    await stream.send(pb.Request(id=1, queries=get("large").queries[:] * 9))
    outcomes = await stream.outcomes(9)
    assert sorted(outcome.id for outcome in outcomes) == list(range(1, 10))
    assert {kv.KvResult.FromString(single_result(outcome)).value for outcome in outcomes} == {value}
    stream.call.cancel()


async def test_a_client_that_closes_its_side_still_gets_all_outcomes(alone):
    """Regression: the stream ended with requests in flight, so grpcurl never got an outcome."""
    stream = Stream(alone)
    await stream.send(*(put("closed", request_id=number) for number in range(20)))
    await stream.call.done_writing()
    assert len(await stream.outcomes(20)) == 20
    assert await stream.call.read() is grpc.aio.EOF
    assert await stream.call.code() is grpc.StatusCode.OK


async def test_outcomes_larger_than_a_message_are_split(alone):
    """Regression: a few reads of large values in one iteration exceeded gRPC's message limit and broke the stream."""
    await alone.key_value.Put(kv.PutRequest(key="large", value=b"x" * 1024 * 1024))
    async with grpc.aio.insecure_channel(
        alone.address, options=[("grpc.max_receive_message_length", 16 * 1024 * 1024)]
    ) as channel:
        call = raft_pb2_grpc.CommandStreamStub(channel).Run()
        await call.write(pb.RequestBatch(requests=[get("large", request_id=number) for number in range(40)]))
        await call.done_writing()
        sizes = [len(batch.outcomes) async for batch in call]
    assert sum(sizes) == 40
    assert max(sizes) < 16


async def test_no_requests_are_read_from_a_client_that_does_not_read_outcomes(alone, monkeypatch):
    """The memory for its outcomes is bounded: further requests wait, and none is lost."""
    await alone.key_value.Put(kv.PutRequest(key="large", value=b"x" * 1024 * 1024))
    submitted = Counter()
    submit = alone.node.submit

    def count(waiter, requests, **session):
        submitted[waiter] += len(requests)
        submit(waiter, requests, **session)

    monkeypatch.setattr(alone.node, "submit", count)
    stream = Stream(alone)
    for number in range(60):  # one iteration may process all of them; their outcomes exceed the limit
        await stream.send(get("large", request_id=number))
    await until(lambda: submitted)
    (waiter,) = submitted
    await until(lambda: not waiter._room.is_set())
    for number in range(60, 120):
        await stream.send(get("large", request_id=number))
    await alone.key_value.Get(kv.GetRequest(key="large"))  # over the same connection, so it arrives after them
    assert 16 <= submitted[waiter] < 120
    assert len(await stream.outcomes(120)) == 120
    stream.call.cancel()


async def test_a_cancelled_stream_leaves_no_tasks_behind(alone):
    before = len(asyncio.all_tasks())
    streams = [Stream(alone) for _ in range(5)]
    for stream in streams:
        await stream.send(put("key"))
        await stream.outcomes(1)
        stream.call.cancel()
    await until(lambda: len(asyncio.all_tasks()) <= before)


# --- health, reflection and status ------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["", "raft.kv.v1.KeyValue", "raft.v2.Node"])
async def test_health_is_serving_while_a_leader_is_known(alone, service):
    stub = health_pb2_grpc.HealthStub(alone.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_health_of_an_unknown_service_is_not_found(alone):
    stub = health_pb2_grpc.HealthStub(alone.channel)
    error, _ = await refused(stub.Check(health_pb2.HealthCheckRequest(service="nothing")))
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_the_services(alone):
    stub = reflection_pb2_grpc.ServerReflectionStub(alone.channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    answer = await call.read()
    names = {service.name for service in answer.list_services_response.service}
    assert names >= {
        "raft.kv.v1.KeyValue",
        "raft.v2.CommandStream",
        "raft.v2.Node",
        "raft.v2.RaftPeer",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    call.cancel()


async def test_status_describes_the_node(alone):
    status = await raft_pb2_grpc.NodeStub(alone.channel).Status(pb.StatusRequest())
    assert (status.id, status.role, status.leader_id, list(status.voters)) == ("a", "leader", "a", ["a"])
    assert status.commit_index == status.applied_index == status.last_log_index > 0
    assert status.version
    assert status.uptime_seconds > 0


# --- peers ------------------------------------------------------------------------------------------------------------


async def deliver(server, *messages):
    """Send messages as a peer would."""
    call = raft_pb2_grpc.RaftPeerStub(server.channel).Deliver()
    await call.write(pb.PeerBatch(messages=messages))
    await call.done_writing()
    return await call


async def test_a_message_for_another_node_is_rejected(alone):
    """Addresses are reused, so a message may arrive at the wrong node."""
    term = alone.node.raft.current_term
    stray = encode_message(Message("b", "c", term + 7, RequestVote(9, 9)))
    error, _ = await refused(deliver(alone, stray))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "this is a, not c" in error.details()
    assert alone.node.raft.current_term == term


async def test_a_malformed_message_is_rejected(alone):
    nonsense = pb.PeerMessage(**{"from": "b", "to": "a", "term": 1})
    error, _ = await refused(deliver(alone, nonsense))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    gap = encode_message(Message("b", "a", 1, AppendEntries(0, 0, (), 0, 0)))
    gap.append_entries.entries.append(pb.Entry(index=5, term=1, kind=pb.ENTRY_KIND_NOOP))
    error, _ = await refused(deliver(alone, gap))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "entry 5" in error.details()


async def test_a_message_of_a_non_member_changes_nothing(alone):
    term = alone.node.raft.current_term
    await deliver(alone, encode_message(Message("non-member", "a", term + 7, RequestVote(9, 9))))
    await alone.key_value.Put(kv.PutRequest(key="still", value=b"here"))
    assert alone.node.raft.current_term == term


# --- three nodes ------------------------------------------------------------------------------------------------------


async def test_a_follower_names_the_leader(directory):
    async with Servers(directory / "names", ["a", "b", "c"]) as servers:
        followers = await servers.followers()
        leader = await servers.leader()
        error, metadata = await refused(followers[0].key_value.Put(kv.PutRequest(key="key", value=b"1")))
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert metadata["raft-outcome"] == "failed"
        assert metadata["raft-leader-id"] == leader.node.config.node_id
        assert metadata["raft-leader-address"] == leader.address
        stream = Stream(followers[0])
        await stream.send(put("key"))
        (outcome,) = await stream.outcomes(1)
        assert outcome.code == pb.OUTCOME_CODE_NOT_LEADER
        assert (outcome.leader_id, outcome.leader_address) == (leader.node.config.node_id, leader.address)
        stream.call.cancel()
        # the Node service names the leader too
        nodes = raft_pb2_grpc.NodeStub(followers[0].channel)
        error, metadata = await refused(nodes.TransferLeadership(pb.TransferLeadershipRequest(target="a")))
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert metadata["raft-leader-id"] == leader.node.config.node_id


async def test_a_leader_that_is_cut_off_serves_no_stale_read(directory):
    async with Servers(directory / "cut", ["a", "b", "c"]) as servers:
        await servers.followers()
        old = await servers.leader()
        await old.key_value.Put(kv.PutRequest(key="key", value=b"old"))
        servers.cut.add(old.node.config.node_id)
        stale = asyncio.create_task(refused(old.key_value.Get(kv.GetRequest(key="key"))))
        lost = asyncio.create_task(refused(old.key_value.Put(kv.PutRequest(key="key", value=b"lost"))))
        new = await servers.leader(other_than=old)
        await new.key_value.Put(kv.PutRequest(key="key", value=b"new"))
        error, metadata = await stale
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert metadata["raft-outcome"] == "failed"
        stub = health_pb2_grpc.HealthStub(old.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        servers.cut.clear()
        error, metadata = await lost
        assert metadata["raft-outcome"] == "failed"  # it was lost with the leadership, which is known by now
        await servers.followers()
        leader = await servers.leader()
        assert (await leader.key_value.Get(kv.GetRequest(key="key"))).value == b"new"


async def test_leadership_is_transferred_by_call(directory):
    async with Servers(directory / "transfer", ["a", "b", "c"]) as servers:
        target = (await servers.followers())[0]
        leader = await servers.leader()
        nodes = raft_pb2_grpc.NodeStub(leader.channel)
        answer = await nodes.TransferLeadership(pb.TransferLeadershipRequest(target=target.node.config.node_id))
        assert target.node.is_leader
        assert answer.term == target.node.raft.current_term
        error, _ = await refused(
            raft_pb2_grpc.NodeStub(target.channel).TransferLeadership(pb.TransferLeadershipRequest(target="nobody"))
        )
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "nobody" in error.details()


# --- members ----------------------------------------------------------------------------------------------------------


async def members_of(server):
    """Return node id to role, as a node reports them."""
    answer = await raft_pb2_grpc.NodeStub(server.channel).Members(pb.MembersRequest())
    return {member.id: member.role for member in answer.members}


def changing(server, **change):
    """Return a ChangeMembers call."""
    return raft_pb2_grpc.NodeStub(server.channel).ChangeMembers(pb.ChangeMembersRequest(**change))


async def test_every_node_reports_the_members(alone):
    answer = await raft_pb2_grpc.NodeStub(alone.channel).Members(pb.MembersRequest())
    (member,) = answer.members
    assert (member.id, member.address, member.role) == ("a", alone.address, "voter")
    assert member.incarnation == alone.node.raft.incarnation
    assert (answer.leader_id, answer.joint, answer.committed, answer.configuration_index) == ("a", False, True, 1)
    assert answer.last_log_index == member.match_index == alone.node.raft.log.last_index


async def test_members_are_changed_by_call(directory):
    async with Servers(directory / "members", ["a", "b", "c"]) as servers:
        await servers.followers()
        leader = await servers.leader()
        newcomer = await servers.join("d")
        await until(lambda: leader.node.raft.commit_index == leader.node.raft.log.last_index)
        added = await changing(leader, add_learner=pb.AddLearner(id="d", address=newcomer.address))
        assert added.configuration_index > 1
        voters = dict.fromkeys("abc", "voter")
        assert await members_of(leader) == {**voters, "d": "learner"}
        promoted = await changing(leader, promote="d")
        assert promoted.configuration_index > added.configuration_index
        assert await members_of(leader) == {**voters, "d": "voter"}
        await leader.key_value.Put(kv.PutRequest(key="key", value=b"1"))
        await until(lambda: newcomer.node.applied_index == leader.node.applied_index)
        await changing(leader, remove="d")
        assert await members_of(leader) == voters


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, "names no change that this version supports"),
        ({"add_learner": pb.AddLearner(id="d", address="nowhere")}, "address 'nowhere' is not HOST:PORT"),
        ({"add_learner": pb.AddLearner(id="d")}, "address '' is not HOST:PORT"),
        ({"add_learner": pb.AddLearner(address="h:1")}, "cannot be a member"),
        ({"add_learner": pb.AddLearner(id="d" * 256, address="h:1")}, "cannot be a member"),
    ],
    ids=["none", "no address", "an empty address", "no identity", "an identity too long"],
)
async def test_a_malformed_change_is_an_invalid_argument(alone, change, why):
    error, _ = await refused(changing(alone, **change))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert why in error.details()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"remove": "a"}, "a is the last voter"),
        ({"remove": ""}, " is not a member (a)"),
        ({"promote": "d"}, "d is not a member: add it first"),
        ({"add_learner": pb.AddLearner(id="a", address="h:1")}, "a is a voter already"),
    ],
    ids=["the last voter", "no identity", "a non-member", "a member"],
)
async def test_a_rejected_change_is_a_failed_precondition_with_the_reason(alone, change, why):
    error, metadata = await refused(changing(alone, **change))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert why in error.details()
    assert "raft-leader-id" not in metadata, "another node would reject it as well"


async def test_a_change_sent_to_a_follower_is_a_failed_precondition_that_names_the_leader(directory):
    async with Servers(directory / "ask", ["a", "b", "c"]) as servers:
        follower = (await servers.followers())[0]
        leader = await servers.leader()
        error, metadata = await refused(changing(follower, remove="c"))
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert metadata["raft-leader-id"] == leader.node.config.node_id
        assert metadata["raft-leader-address"] == leader.address


async def test_a_change_whose_leader_loses_leadership_is_unavailable(directory):
    """The result is unknown; Members shows it later."""
    async with Servers(directory / "falls", ["a", "b", "c"]) as servers:
        victim = (await servers.followers())[0].node.config.node_id
        old = await servers.leader()
        await until(lambda: old.node.raft.commit_index == old.node.raft.log.last_index)
        servers.cut.add(old.node.config.node_id)
        error, metadata = await refused(changing(old, remove=victim))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "Members shows" in error.details()
        assert "raft-leader-id" not in metadata


# --- sessions and follower reads --------------------------------------------------------------------------------------


async def test_a_session_over_the_stream_applies_a_command_once(alone):
    stream = Stream(alone)
    await stream.send(pb.Request(id=1, open_session=True))
    (opened,) = await stream.outcomes(1)
    request = append("once", b"x", request_id=2, sequence=1)
    for _ in range(2):
        await stream.send(request, session_id=opened.session_id)
    first, second = await stream.outcomes(2)
    assert (first.code, list(first.results), first.index) == (pb.OUTCOME_CODE_OK, list(second.results), second.index)
    assert (await alone.key_value.Get(kv.GetRequest(key="once"))).value == b"x"
    await stream.send(request, session_id=opened.session_id + 1000)
    (expired,) = await stream.outcomes(1)
    assert expired.code == pb.OUTCOME_CODE_SESSION_EXPIRED
    stream.call.cancel()


async def test_a_follower_answers_queries_that_allow_any_node(directory):
    async with Servers(directory / "any", ["a", "b", "c"]) as servers:
        follower = (await servers.followers())[0]
        leader = await servers.leader()
        await leader.key_value.Put(kv.PutRequest(key="key", value=b"1"))
        stream = Stream(follower)
        await stream.send(get("key", any_node=True))
        (outcome,) = await stream.outcomes(1)
        assert outcome.code == pb.OUTCOME_CODE_OK
        assert kv.KvResult.FromString(single_result(outcome)).value == b"1"
        stream.call.cancel()


# --- without a leader -------------------------------------------------------------------------------------------------


async def test_a_node_without_a_leader_fails_requests(directory):
    async with Servers(directory / "lonely", ["a", "b", "c"]) as servers:
        servers.cut.update("abc")
        a = servers.all["a"]
        error, metadata = await refused(a.key_value.Get(kv.GetRequest(key="key")))
        assert error.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNAVAILABLE)
        assert metadata["raft-outcome"] == "failed"
        assert "raft-leader-id" not in metadata
        stub = health_pb2_grpc.HealthStub(a.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_a_broken_link_is_reported_and_a_majority_still_serves(directory):
    async with Servers(directory / "links", ["a", "b", "c"]) as servers:
        down = (await servers.followers())[0]
        leader = await servers.leader()
        name = down.node.config.node_id
        await down.server.stop(0)
        await until(lambda: any(e["event"] == "peer_disconnected" and e["peer"] == name for e in leader.events))
        await leader.key_value.Put(kv.PutRequest(key="key", value=b"two of three"))
        assert (await leader.key_value.Get(kv.GetRequest(key="key"))).value == b"two of three"


# --- shutdown and failure ---------------------------------------------------------------------------------------------


async def test_a_node_that_stops_completes_every_call(directory):
    async with Servers(directory / "stops", ["a", "b", "c"]) as servers:
        await servers.followers()
        leader = await servers.leader()
        servers.cut.add(leader.node.config.node_id)
        writing = asyncio.create_task(refused(leader.key_value.Put(kv.PutRequest(key="key", value=b"1"))))
        reading = asyncio.create_task(refused(leader.key_value.Get(kv.GetRequest(key="key"))))
        stream = Stream(leader)
        await stream.send(put("key"))
        await until(lambda: sum(map(len, leader.node._proposals._pending_entries.values())) == 2)
        leader.node.stop("SIGTERM")
        error, metadata = await writing
        assert (error.code(), metadata["raft-outcome"]) == (grpc.StatusCode.UNAVAILABLE, "unknown")
        error, metadata = await reading
        assert (error.code(), metadata["raft-outcome"]) == (grpc.StatusCode.UNAVAILABLE, "failed")
        (outcome,) = await stream.outcomes(1)
        assert outcome.code == pb.OUTCOME_CODE_UNKNOWN
        assert await stream.call.read() is grpc.aio.EOF
        error, metadata = await refused(leader.key_value.Put(kv.PutRequest(key="key", value=b"1")))
        assert (error.code(), metadata["raft-outcome"]) == (grpc.StatusCode.UNAVAILABLE, "failed")


class FullDisk(Filesystem):
    """The real file system until it is full."""

    full = False

    def write(self, descriptor, buffers, offset):
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(descriptor, buffers, offset)


async def test_a_full_disk_stops_the_node_and_nothing_is_acknowledged(directory):
    disk = FullDisk()
    async with Servers(directory / "full", ["a"], filesystem=disk) as servers:
        server = await servers.leader()
        await server.key_value.Put(kv.PutRequest(key="before", value=b"1"))
        disk.full = True
        error, metadata = await refused(server.key_value.Put(kv.PutRequest(key="after", value=b"1")))
        assert (error.code(), metadata["raft-outcome"]) == (grpc.StatusCode.UNAVAILABLE, "unknown")
        with pytest.raises(StorageError, match="No space left on device"):
            await server.running
        error, metadata = await refused(server.key_value.Get(kv.GetRequest(key="before")))
        assert (error.code(), metadata["raft-outcome"]) == (grpc.StatusCode.UNAVAILABLE, "failed")
        assert server.events[-1]["event"] == "storage_failed"
    async with Servers(directory / "full", ["a"]) as servers:
        server = await servers.leader()
        assert (await server.key_value.Get(kv.GetRequest(key="before"))).value == b"1"
        error, _ = await refused(server.key_value.Get(kv.GetRequest(key="after")))
        assert error.code() is grpc.StatusCode.NOT_FOUND
