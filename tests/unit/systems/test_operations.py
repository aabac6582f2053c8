"""What becomes of an operation is told as it is: nothing is tried again that etcd may have taken."""

import grpc
import grpc.aio
import pytest

from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.requests import single_result
from systems.etcd import etcd_pb2 as etcd
from systems.etcd.operations import APPEND_ATTEMPTS_MAX, Operations


def failure(code):
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=code.name)


class Calls:
    """etcd's KV service: answers, or raises, what it was given, in that order."""

    def __init__(self, **answers):
        self._answers = {name: iter(those) for name, those in answers.items()}
        self.made = []

    def __getattr__(self, name):
        async def call(request, timeout):
            self.made.append((name, request))
            answer = next(self._answers[name])
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def operations(**answers):
    made = Operations.__new__(Operations)
    made._kv = Calls(**answers)
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


async def test_an_append_compares_with_what_it_read():
    tested = operations(Range=[found(b"a", 7)], Txn=[won_race()])
    outcome = await tested.command(APPEND)
    assert (outcome.code, outcome.index) == (pb.OUTCOME_CODE_OK, 10)
    assert kv.KvResult.FromString(single_result(outcome)).length == 2
    (_, transaction) = tested._kv.made[1]
    assert transaction.compare[0].mod_revision == 7
    assert transaction.success[0].request_put.value == b"a+"


async def test_an_append_that_surely_was_not_done_is_tried_again_with_what_is_there_now():
    tested = operations(Range=[found(b"a", 7)], Txn=[lost_race(b"ab", 8), won_race()])
    outcome = await tested.command(APPEND)
    assert outcome.code == pb.OUTCOME_CODE_OK
    assert tested._kv.made[2][1].success[0].request_put.value == b"ab+"
    assert tested._kv.made[2][1].compare[0].mod_revision == 8


async def test_an_append_of_which_nothing_is_known_is_not_tried_again():
    tested = operations(Range=[found(b"a")], Txn=[failure(grpc.StatusCode.UNAVAILABLE), won_race()])
    outcome = await tested.command(APPEND)
    assert outcome.code == pb.OUTCOME_CODE_UNKNOWN
    assert [name for name, _ in tested._kv.made] == ["Range", "Txn"]


async def test_an_append_that_could_not_read_was_surely_not_done():
    outcome = await operations(Range=[failure(grpc.StatusCode.UNAVAILABLE)]).command(APPEND)
    assert outcome.code == pb.OUTCOME_CODE_UNAVAILABLE


async def test_an_append_gives_way_to_others_without_end():
    races = [lost_race(b"x", number) for number in range(APPEND_ATTEMPTS_MAX)]
    outcome = await operations(Range=[found(b"a")], Txn=races).command(APPEND)
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
async def test_a_write_that_failed_is_unknown_unless_etcd_refused_it(status, code):
    assert (await operations(Put=[failure(status)]).command(PUT)).code == code


async def test_a_read_that_failed_may_be_asked_of_another():
    outcome = await operations(Range=[failure(grpc.StatusCode.DEADLINE_EXCEEDED)]).query(GET)
    assert outcome.code == pb.OUTCOME_CODE_UNAVAILABLE


@pytest.mark.parametrize("value", [b"", b"v", None])
async def test_a_read_tells_an_empty_value_from_none(value):
    result = kv.KvResult.FromString(single_result(await operations(Range=[found(value)]).query(GET)))
    assert result.found is (value is not None)
    assert (result.value if result.HasField("value") else None) == value


async def test_a_comparison_that_failed_says_what_is_there():
    command = kv.KvCommand(compare_and_set=kv.CompareAndSetRequest(key="k", value=b"n")).SerializeToString()
    tested = operations(Txn=[lost_race(b"v", 3)])
    result = kv.KvResult.FromString(single_result(await tested.command(command)))
    assert (result.found, result.value) == (False, b"v")
    # no value was expected: the key must be absent
    assert tested._kv.made[0][1].compare[0].target == etcd.Compare.CREATE


async def test_a_key_that_can_not_be_is_refused_without_etcd():
    command = kv.KvCommand(put=kv.PutRequest(key="", value=b"v")).SerializeToString()
    outcome = await operations().command(command)
    assert outcome.code == pb.OUTCOME_CODE_OK
    assert "1 to 1024 bytes" in kv.KvResult.FromString(single_result(outcome)).error
