"""The key-value store: the same commands give the same state and answers, and no bytes make it fail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_pkg.kv import KeyValueStore
from raft_pkg.kv.limits import MAX_KEY_BYTES, MAX_VALUE_BYTES
from raft_pkg.rpc import raft_pb2 as pb


def run(store, **body):
    """Apply one command; returns its result."""
    (answer,) = store.apply([pb.KvCommand(**body).SerializeToString()])
    return pb.KvResult.FromString(answer)


def get(store, key):
    """The value, None when there is none."""
    answer = pb.KvResult.FromString(store.query(pb.KvQuery(get=pb.GetRequest(key=key)).SerializeToString()))
    assert not answer.error
    assert answer.found is answer.HasField("value")
    return answer.value if answer.found else None


@pytest.fixture
def store():
    return KeyValueStore()


def test_put_get_delete(store):
    assert get(store, "k") is None
    assert run(store, put=pb.PutRequest(key="k", value=b"1")).error == ""
    assert get(store, "k") == b"1"
    assert run(store, delete=pb.DeleteRequest(key="k")).found
    assert not run(store, delete=pb.DeleteRequest(key="k")).found
    assert get(store, "k") is None


def test_an_empty_value_is_a_value(store):
    run(store, put=pb.PutRequest(key="k", value=b""))
    assert get(store, "k") == b""


@pytest.mark.parametrize(
    ("present", "expected", "succeeds"),
    [
        (None, None, True),
        (None, b"1", False),
        (None, b"", False),
        (b"1", b"1", True),
        (b"1", b"2", False),
        (b"1", None, False),
        (b"", b"", True),
        (b"", None, False),
    ],
)
def test_compare_and_set(store, present, expected, succeeds):
    if present is not None:
        run(store, put=pb.PutRequest(key="k", value=present))
    answer = run(store, compare_and_set=pb.CompareAndSetRequest(key="k", expected=expected, value=b"new"))
    assert answer.found is succeeds
    assert get(store, "k") == (b"new" if succeeds else present)
    if not succeeds:
        assert (answer.value if answer.HasField("value") else None) == present


def test_append(store):
    assert run(store, append=pb.AppendRequest(key="k", value=b"ab")).length == 2
    assert run(store, append=pb.AppendRequest(key="k", value=b"c")).length == 3
    assert get(store, "k") == b"abc"


@pytest.mark.parametrize(
    "body",
    [
        {"put": pb.PutRequest(key="", value=b"1")},
        {"put": pb.PutRequest(key="k" * (MAX_KEY_BYTES + 1))},
        {"put": pb.PutRequest(key="k", value=b"x" * (MAX_VALUE_BYTES + 1))},
        {"delete": pb.DeleteRequest(key="")},
        {"compare_and_set": pb.CompareAndSetRequest(key="é" * (MAX_KEY_BYTES // 2 + 1))},
        {"compare_and_set": pb.CompareAndSetRequest(key="k", value=b"x" * (MAX_VALUE_BYTES + 1))},
        {"append": pb.AppendRequest(key="k", value=b"x" * (MAX_VALUE_BYTES + 1))},
        {},
    ],
    ids=lambda body: next(iter(body), "nothing"),
)
def test_what_breaks_a_limit_changes_nothing_and_says_so(store, body):
    assert run(store, **body).error
    assert get(store, "k") is None


def test_the_limits_themselves_are_allowed(store):
    key = "k" * MAX_KEY_BYTES
    assert not run(store, put=pb.PutRequest(key=key, value=b"x" * MAX_VALUE_BYTES)).error
    assert run(store, append=pb.AppendRequest(key=key, value=b"x")).error
    assert len(get(store, key)) == MAX_VALUE_BYTES


@given(st.binary(max_size=100))
def test_no_bytes_make_it_fail(data):
    """Whatever is in the log reaches every node, and comes again at every restart."""
    store = KeyValueStore()
    (answer,) = store.apply([data])
    pb.KvResult.FromString(answer)
    pb.KvResult.FromString(store.query(data))


commands = st.one_of(
    st.builds(
        lambda k, v: pb.KvCommand(put=pb.PutRequest(key=k, value=v)), st.sampled_from("ab"), st.binary(max_size=3)
    ),
    st.builds(lambda k: pb.KvCommand(delete=pb.DeleteRequest(key=k)), st.sampled_from("ab")),
    st.builds(
        lambda k, e, v: pb.KvCommand(compare_and_set=pb.CompareAndSetRequest(key=k, expected=e, value=v)),
        st.sampled_from("ab"),
        st.none() | st.binary(max_size=1),
        st.binary(max_size=1),
    ),
    st.builds(
        lambda k, v: pb.KvCommand(append=pb.AppendRequest(key=k, value=v)), st.sampled_from("ab"), st.binary(max_size=3)
    ),
)


@given(st.lists(commands, max_size=20), st.integers(1, 5))
def test_batches_do_not_matter(commands, size):
    """The same commands in the same order, in whatever batches: the same answers and state."""
    wire = [command.SerializeToString(deterministic=True) for command in commands]
    one, other = KeyValueStore(), KeyValueStore()
    at_once = one.apply(wire)
    in_pieces = [answer for start in range(0, len(wire), size) for answer in other.apply(wire[start : start + size])]
    assert at_once == in_pieces
    assert [get(one, key) for key in "ab"] == [get(other, key) for key in "ab"]


@given(st.lists(commands, max_size=20))
def test_it_does_what_a_dictionary_does(commands):
    store, model = KeyValueStore(), {}
    for command in commands:
        store.apply([command.SerializeToString()])
        match command.WhichOneof("body"):
            case "put":
                model[command.put.key] = command.put.value
            case "delete":
                model.pop(command.delete.key, None)
            case "append":
                model[command.append.key] = model.get(command.append.key, b"") + command.append.value
            case "compare_and_set":
                body = command.compare_and_set
                if model.get(body.key) == (body.expected if body.HasField("expected") else None):
                    model[body.key] = body.value
    assert {key: get(store, key) for key in "ab"} == {key: model.get(key) for key in "ab"}
