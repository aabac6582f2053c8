"""Outcomes of operations on etcd: nothing that etcd may have applied is repeated."""

import grpc
import grpc.aio
import pytest

from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.requests import single_result
from systems.etcd import etcd_pb2 as etcd
from systems.etcd.state_machine import APPEND_ATTEMPTS_MAX, EtcdStateMachine


def failure(code):
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=code.name)


class StubKv:
    """etcd's KV service: returns or raises the given responses, in order."""

    def __init__(self, **responses):
        self._responses = {name: iter(those) for name, those in responses.items()}
        self.requests = []

    def __getattr__(self, name):
        async def call(request, timeout):
            self.requests.append((name, request))
            response = next(self._responses[name])
            if isinstance(response, Exception):
                raise response
            return response

        return call


def state_machine(**responses):
    made = EtcdStateMachine.__new__(EtcdStateMachine)
    made._kv = StubKv(**responses)
    return made


def found(value=None, revision=7):
    kvs = [] if value is None else [etcd.KeyValue(key=b"k", value=value, mod_revision=revision)]
    return etcd.RangeResponse(kvs=kvs, count=len(kvs), header=etcd.ResponseHeader(revision=9))


def lost_race(value, revision):
    return etcd.TxnResponse(responses=[etcd.ResponseOp(response_range=found(value, revision))])


def won_race(revision=10):
    return etcd.TxnResponse(succeeded=True, header=etcd.ResponseHeader(revision=revision))


APPEND = kv.KvCommand(append=kv.AppendRequest(key="k", value=b"+")).SerializeToString()
PUT = kv.KvCommand(put=kv.PutRequest(key="k", value=b"v")).SerializeToString()
GET = kv.KvQuery(get=kv.GetRequest(key="k")).SerializeToString()


async def test_an_append_compares_the_revision_that_it_read():
    tested = state_machine(Range=[found(b"a", 7)], Txn=[won_race()])
    outcome = await tested.command(APPEND)
    assert (outcome.code, outcome.index) == (pb.OUTCOME_CODE_OK, 10)
    assert kv.KvResult.FromString(single_result(outcome)).length == 2
    (_, transaction) = tested._kv.requests[1]
    assert transaction.compare[0].mod_revision == 7
    assert transaction.success[0].request_put.value == b"a+"


async def test_an_append_that_was_not_applied_is_repeated_with_the_current_value():
    tested = state_machine(Range=[found(b"a", 7)], Txn=[lost_race(b"ab", 8), won_race()])
    outcome = await tested.command(APPEND)
    assert outcome.code == pb.OUTCOME_CODE_OK
    assert tested._kv.requests[2][1].success[0].request_put.value == b"ab+"
    assert tested._kv.requests[2][1].compare[0].mod_revision == 8


async def test_an_append_with_an_unknown_outcome_is_not_repeated():
    tested = state_machine(Range=[found(b"a")], Txn=[failure(grpc.StatusCode.UNAVAILABLE), won_race()])
    outcome = await tested.command(APPEND)
    assert outcome.code == pb.OUTCOME_CODE_UNKNOWN
    assert [name for name, _ in tested._kv.requests] == ["Range", "Txn"]


async def test_an_append_whose_read_failed_was_not_applied():
    outcome = await state_machine(Range=[failure(grpc.StatusCode.UNAVAILABLE)]).command(APPEND)
    assert outcome.code == pb.OUTCOME_CODE_UNAVAILABLE


async def test_an_append_is_busy_after_too_many_concurrent_writes():
    races = [lost_race(b"x", number) for number in range(APPEND_ATTEMPTS_MAX)]
    outcome = await state_machine(Range=[found(b"a")], Txn=races).command(APPEND)
    assert outcome.code == pb.OUTCOME_CODE_BUSY


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.UNAVAILABLE, pb.OUTCOME_CODE_UNKNOWN),
        (grpc.StatusCode.DEADLINE_EXCEEDED, pb.OUTCOME_CODE_UNKNOWN),
        (grpc.StatusCode.INTERNAL, pb.OUTCOME_CODE_UNKNOWN),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, pb.OUTCOME_CODE_BUSY),
        (grpc.StatusCode.INVALID_ARGUMENT, pb.OUTCOME_CODE_INVALID),
    ],
)
async def test_a_failed_write_is_unknown_unless_etcd_rejected_it(status, code):
    assert (await state_machine(Put=[failure(status)]).command(PUT)).code == code


async def test_a_failed_read_is_unavailable():
    outcome = await state_machine(Range=[failure(grpc.StatusCode.DEADLINE_EXCEEDED)]).query(GET)
    assert outcome.code == pb.OUTCOME_CODE_UNAVAILABLE


@pytest.mark.parametrize("value", [b"", b"v", None])
async def test_a_read_distinguishes_an_empty_value_from_an_absent_key(value):
    result = kv.KvResult.FromString(single_result(await state_machine(Range=[found(value)]).query(GET)))
    assert result.found is (value is not None)
    assert (result.value if result.HasField("value") else None) == value


async def test_a_failed_comparison_returns_the_current_value():
    command = kv.KvCommand(compare_and_set=kv.CompareAndSetRequest(key="k", value=b"n")).SerializeToString()
    tested = state_machine(Txn=[lost_race(b"v", 3)])
    result = kv.KvResult.FromString(single_result(await tested.command(command)))
    assert (result.found, result.value) == (False, b"v")
    # without an expected value, the key must be absent
    assert tested._kv.requests[0][1].compare[0].target == etcd.Compare.CREATE


async def test_an_invalid_key_is_rejected_without_a_call_to_etcd():
    command = kv.KvCommand(put=kv.PutRequest(key="", value=b"v")).SerializeToString()
    outcome = await state_machine().command(command)
    assert outcome.code == pb.OUTCOME_CODE_OK
    assert "1 to 1024 bytes" in kv.KvResult.FromString(single_result(outcome)).error
