"""The key-value store: deterministic, and robust against invalid bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_pkg.kv import KeyValueStore
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.kv.limits import MAX_KEY_BYTES, MAX_VALUE_BYTES


def run(store, **body):
    """Apply one command; return its result."""
    (answer,) = store.apply([kv.KvCommand(**body).SerializeToString()])
    return kv.KvResult.FromString(answer)


def get(store, key):
    """Return the value of a key, None when the key is absent."""
    answer = kv.KvResult.FromString(store.query(kv.KvQuery(get=kv.GetRequest(key=key)).SerializeToString()))
    assert not answer.error
    assert answer.found is answer.HasField("value")
    return answer.value if answer.found else None


@pytest.fixture
def store():
    return KeyValueStore()


def test_put_get_delete(store):
    assert get(store, "k") is None
    assert run(store, put=kv.PutRequest(key="k", value=b"1")).error == ""
    assert get(store, "k") == b"1"
    assert run(store, delete=kv.DeleteRequest(key="k")).found
    assert not run(store, delete=kv.DeleteRequest(key="k")).found
    assert get(store, "k") is None


def test_an_empty_value_is_a_value(store):
    run(store, put=kv.PutRequest(key="k", value=b""))
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
        run(store, put=kv.PutRequest(key="k", value=present))
    answer = run(store, compare_and_set=kv.CompareAndSetRequest(key="k", expected=expected, value=b"new"))
    assert answer.found is succeeds
    assert get(store, "k") == (b"new" if succeeds else present)
    if not succeeds:
        assert (answer.value if answer.HasField("value") else None) == present


def test_append(store):
    assert run(store, append=kv.AppendRequest(key="k", value=b"ab")).length == 2
    assert run(store, append=kv.AppendRequest(key="k", value=b"c")).length == 3
    assert get(store, "k") == b"abc"


@pytest.mark.parametrize(
    "body",
    [
        {"put": kv.PutRequest(key="", value=b"1")},
        {"put": kv.PutRequest(key="k" * (MAX_KEY_BYTES + 1))},
        {"put": kv.PutRequest(key="k", value=b"x" * (MAX_VALUE_BYTES + 1))},
        {"delete": kv.DeleteRequest(key="")},
        {"compare_and_set": kv.CompareAndSetRequest(key="é" * (MAX_KEY_BYTES // 2 + 1))},
        {"compare_and_set": kv.CompareAndSetRequest(key="k", value=b"x" * (MAX_VALUE_BYTES + 1))},
        {"append": kv.AppendRequest(key="k", value=b"x" * (MAX_VALUE_BYTES + 1))},
        {},
    ],
    ids=lambda body: next(iter(body), "nothing"),
)
def test_a_command_over_a_limit_changes_nothing_and_returns_an_error(store, body):
    assert run(store, **body).error
    assert get(store, "k") is None


def test_the_limits_themselves_are_allowed(store):
    key = "k" * MAX_KEY_BYTES
    assert not run(store, put=kv.PutRequest(key=key, value=b"x" * MAX_VALUE_BYTES)).error
    assert run(store, append=kv.AppendRequest(key=key, value=b"x")).error
    assert len(get(store, key)) == MAX_VALUE_BYTES


@given(st.binary(max_size=100))
def test_arbitrary_bytes_raise_nothing(data):
    """A command in the log reaches every node, and again after every restart."""
    store = KeyValueStore()
    (answer,) = store.apply([data])
    kv.KvResult.FromString(answer)
    kv.KvResult.FromString(store.query(data))


commands = st.one_of(
    st.builds(
        lambda k, v: kv.KvCommand(put=kv.PutRequest(key=k, value=v)), st.sampled_from("ab"), st.binary(max_size=3)
    ),
    st.builds(lambda k: kv.KvCommand(delete=kv.DeleteRequest(key=k)), st.sampled_from("ab")),
    st.builds(
        lambda k, e, v: kv.KvCommand(compare_and_set=kv.CompareAndSetRequest(key=k, expected=e, value=v)),
        st.sampled_from("ab"),
        st.none() | st.binary(max_size=1),
        st.binary(max_size=1),
    ),
    st.builds(
        lambda k, v: kv.KvCommand(append=kv.AppendRequest(key=k, value=v)), st.sampled_from("ab"), st.binary(max_size=3)
    ),
)


@given(st.lists(commands, max_size=20), st.integers(1, 5))
def test_batch_boundaries_do_not_matter(commands, size):
    wire = [command.SerializeToString(deterministic=True) for command in commands]
    one, other = KeyValueStore(), KeyValueStore()
    in_one_batch = one.apply(wire)
    in_chunks = [answer for start in range(0, len(wire), size) for answer in other.apply(wire[start : start + size])]
    assert in_one_batch == in_chunks
    assert [get(one, key) for key in "ab"] == [get(other, key) for key in "ab"]


@given(st.lists(commands, max_size=20))
def test_the_store_agrees_with_a_dictionary(commands):
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


def recut(chunks, size):
    """Return the same bytes in chunks of another size."""
    whole = b"".join(chunks)
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def restored(chunks):
    store = KeyValueStore()
    store.restore(chunks)
    return store


@given(st.lists(commands, max_size=30), st.lists(commands, max_size=30), st.integers(1, 50))
def test_a_restored_store_behaves_like_the_original(before, after, size):
    """§7: after any further commands, results and snapshots are equal."""
    store = KeyValueStore()
    store.apply([command.SerializeToString() for command in before])
    other = restored(recut(store.snapshot(), size))
    wire = [command.SerializeToString() for command in after]
    assert store.apply(wire) == other.apply(wire)
    assert b"".join(store.snapshot()) == b"".join(other.snapshot())


def test_a_snapshot_has_the_state_at_the_call(store):
    run(store, put=kv.PutRequest(key="k", value=b"1"))
    chunks = store.snapshot()
    run(store, put=kv.PutRequest(key="k", value=b"2"))
    run(store, put=kv.PutRequest(key="l", value=b"3"))
    other = restored(chunks)
    assert (get(other, "k"), get(other, "l")) == (b"1", None)


def test_chunk_sizes_are_bounded_even_with_the_largest_keys_and_values(store):
    for i in range(2000):
        run(store, put=kv.PutRequest(key=f"k{i}", value=bytes(256)))
    run(store, put=kv.PutRequest(key="k" * MAX_KEY_BYTES, value=b"x" * MAX_VALUE_BYTES))
    run(store, put=kv.PutRequest(key="é", value=b""))
    chunks = list(store.snapshot())
    assert max(map(len, chunks)) <= MAX_VALUE_BYTES + 128 * 1024
    assert sorted(map(len, chunks))[-2] <= 128 * 1024
    other = restored(chunks)
    assert get(other, "k" * MAX_KEY_BYTES) == b"x" * MAX_VALUE_BYTES
    assert get(other, "é") == b""
    assert b"".join(other.snapshot()) == b"".join(chunks)


def test_restore_replaces_all_values(store):
    run(store, put=kv.PutRequest(key="k", value=b"1"))
    store.restore(KeyValueStore().snapshot())
    assert get(store, "k") is None


def a_snapshot():
    store = KeyValueStore()
    run(store, put=kv.PutRequest(key="a", value=b"1"))
    run(store, put=kv.PutRequest(key="b", value=b"22"))
    return b"".join(store.snapshot())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "offset 0: expected 18 bytes of the header, found 0"),
        (b"raft key-values 1\n", "offset 0: not in the format"),
        (a_snapshot()[:-1], "expected 4 bytes of a block's length, found 3"),
        (a_snapshot()[:-8], "offset 22: expected 21 bytes of a block, found 17"),
        (a_snapshot() + b"x", "unexpected bytes after the end"),
        (a_snapshot()[:18] + b"\xff\xff\xff\xff", "a block of 4294967295 bytes, at most"),
        (a_snapshot()[:18] + b"\0\0\0\x01x" + bytes(4), "offset 22: invalid record"),
        (a_snapshot()[:18] + b"\0\0\0\x09\0\0\0\x01\0\0\0\0\xff" + bytes(4), "offset 22: invalid record: 'utf-8'"),
        (a_snapshot()[:18] + b"\0\0\0\x09\0\0\0\x01\0\0\0\x01k" + bytes(4), "a key of 1 and a value of 1 bytes"),
        (a_snapshot()[:18] + b"\0\0\0\x08\0\0\0\x00\0\0\0\x00" + bytes(4), "a key of 0 and a value of 0 bytes"),
        (a_snapshot()[:18] + 2 * b"\0\0\0\x09\0\0\0\x01\0\0\0\0k" + bytes(4), "the block repeats a key"),
    ],
)
def test_an_invalid_snapshot_is_rejected_and_changes_nothing(store, data, message):
    run(store, put=kv.PutRequest(key="k", value=b"1"))
    with pytest.raises(ValueError, match=message):
        store.restore([data])
    assert get(store, "k") == b"1"


@given(st.integers(0, len(a_snapshot()) - 1), st.binary(min_size=1, max_size=6), st.booleans())
def test_a_damaged_snapshot_is_rejected_or_restored(position, damage, cut):
    data = a_snapshot()[:position] + damage + (b"" if cut else a_snapshot()[position + len(damage) :])
    try:
        store = restored([data])
    except ValueError:
        return
    assert b"".join(restored(store.snapshot()).snapshot()) == b"".join(store.snapshot())
