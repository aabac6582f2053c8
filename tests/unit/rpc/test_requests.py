"""Requests and outcomes that stand for several with consecutive ids."""

import pytest

from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.requests import outcome_count, request_count, request_type, single_result, split_request, validate


@pytest.mark.parametrize(
    ("request_", "type_", "count"),
    [
        (pb.Request(commands=[b"a"]), "commands", 1),
        (pb.Request(commands=[b"", b""]), "commands", 2),
        (pb.Request(queries=[b"a", b"b", b"c"]), "queries", 3),
        (pb.Request(open_session=True), "open_session", 1),
        (pb.Request(), None, 1),
        (pb.Request(commands=[b"a", b"b"], queries=[b"c"]), None, 3),
        (pb.Request(commands=[b"a"], open_session=True), None, 1),
    ],
)
def test_type_and_count(request_, type_, count):
    assert request_type(request_) == type_
    assert request_count(request_) == count


@pytest.mark.parametrize(("count", "expected"), [(0, 1), (1, 1), (50, 50)])
def test_an_outcome_stands_for_at_least_one_request(count, expected):
    assert outcome_count(pb.Outcome(count=count)) == expected


def test_commands_of_a_batch_have_consecutive_ids_and_sequence_numbers():
    batch = pb.Request(id=7, commands=[b"a", b"b"], sequence=3)
    assert list(split_request(batch)) == [
        pb.Request(id=7, commands=[b"a"], sequence=3),
        pb.Request(id=8, commands=[b"b"], sequence=4),
    ]


def test_commands_without_a_session_get_no_sequence_number():
    assert [request.sequence for request in split_request(pb.Request(commands=[b"a", b"b"]))] == [0, 0]


def test_queries_of_a_batch_keep_any_node():
    batch = pb.Request(id=1, queries=[b"a", b"b"], any_node=True)
    assert list(split_request(batch)) == [
        pb.Request(id=1, queries=[b"a"], any_node=True),
        pb.Request(id=2, queries=[b"b"], any_node=True),
    ]


@pytest.mark.parametrize("request_", [pb.Request(id=1, open_session=True), pb.Request(id=1)])
def test_a_request_without_a_batch_is_not_changed(request_):
    assert list(split_request(request_)) == [request_]


def test_a_missing_result_is_empty():
    assert single_result(pb.Outcome()) == b""
    assert single_result(pb.Outcome(results=[b"r"])) == b"r"


def test_a_request_of_the_form_before_batches_is_invalid():
    """Field 2 was a single command. It is reserved, so neither version takes a batch for one command."""
    single_command = b"\x08\x01\x12\x01c"
    request = pb.Request.FromString(single_command)
    assert (request.id, request_type(request)) == (1, None)
    assert b"\x12" not in pb.Request(id=1, commands=[b"c", b"d"]).SerializeToString()


@pytest.mark.parametrize(
    ("request_", "session_id", "error"),
    [
        (pb.Request(commands=[b"c"], queries=[b"q"]), 0, "exactly one of"),
        (pb.Request(), 0, "exactly one of"),
        (pb.Request(commands=[b"c"]), 1, "needs a sequence"),
        (pb.Request(id=2**64 - 1, queries=[b"q"] * 2), 0, "batch of 2 exceed 64 bits"),
        (pb.Request(commands=[b"c"] * 2, sequence=2**64 - 1), 1, "batch of 2 exceed 64 bits"),
    ],
)
def test_invalid_requests(request_, session_id, error):
    assert error in validate(request_, session_id)


def test_valid_requests():
    assert validate(pb.Request(id=2**64 - 2, commands=[b"c"] * 2, sequence=2**64 - 2), 1) == ""
    assert validate(pb.Request(queries=[b"q"]), 1) == ""
    assert validate(pb.Request(open_session=True), 0) == ""
