"""One request may stand for several in a row."""

import pytest

from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.requests import request_count, request_type, single_result, split_request, validate


@pytest.mark.parametrize(
    ("request_", "kind", "count"),
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
def test_kind_and_count(request_, kind, count):
    assert request_type(request_) == kind
    assert request_count(request_) == count


def test_commands_in_a_row_have_consecutive_ids_and_sequences():
    row = pb.Request(id=7, commands=[b"a", b"b"], sequence=3)
    assert list(split_request(row)) == [
        pb.Request(id=7, commands=[b"a"], sequence=3),
        pb.Request(id=8, commands=[b"b"], sequence=4),
    ]


def test_commands_without_a_session_get_no_sequence():
    assert [request.sequence for request in split_request(pb.Request(commands=[b"a", b"b"]))] == [0, 0]


def test_queries_in_a_row_go_where_the_row_went():
    row = pb.Request(id=1, queries=[b"a", b"b"], any_node=True)
    assert list(split_request(row)) == [
        pb.Request(id=1, queries=[b"a"], any_node=True),
        pb.Request(id=2, queries=[b"b"], any_node=True),
    ]


@pytest.mark.parametrize("request_", [pb.Request(id=1, open_session=True), pb.Request(id=1)])
def test_what_is_one_already_stays_as_it_is(request_):
    assert list(split_request(request_)) == [request_]


def test_no_result_is_an_empty_one():
    assert single_result(pb.Outcome()) == b""
    assert single_result(pb.Outcome(results=[b"r"])) == b"r"


def test_who_knows_of_no_rows_is_told_that_its_requests_ask_for_nothing():
    """And a node that knows of none tells the same: nobody takes a row for one command, its last."""
    one_command_as_it_was = b"\x08\x01\x12\x01c"
    old = pb.Request.FromString(one_command_as_it_was)
    assert (old.id, request_type(old)) == (1, None)
    assert b"\x12" not in pb.Request(id=1, commands=[b"c", b"d"]).SerializeToString()


@pytest.mark.parametrize(
    ("request_", "session_id", "mistake"),
    [
        (pb.Request(commands=[b"c"], queries=[b"q"]), 0, "several kinds"),
        (pb.Request(), 0, "no command"),
        (pb.Request(commands=[b"c"]), 1, "needs a sequence"),
        (pb.Request(id=2**64 - 1, queries=[b"q"] * 2), 0, "2 in a row"),
        (pb.Request(commands=[b"c"] * 2, sequence=2**64 - 1), 1, "2 in a row"),
    ],
)
def test_what_makes_no_sense(request_, session_id, mistake):
    assert mistake in validate(request_, session_id)


def test_what_makes_sense():
    assert validate(pb.Request(id=2**64 - 2, commands=[b"c"] * 2, sequence=2**64 - 2), 1) == ""
    assert validate(pb.Request(queries=[b"q"]), 1) == ""
    assert validate(pb.Request(open_session=True), 0) == ""
