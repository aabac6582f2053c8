"""The example of docs/how-to/state-machine.md behaves as the page says, and as a state machine must."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_pkg.client import AsyncRaftClient
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.server.sessions import SessionedMachine
from tests.support.entries import command_entry
from tests.support.examples import LockService
from tests.unit.client.conftest import ReplicatedState, losing_responses


@pytest.fixture
def locks():
    return LockService()


def apply(locks, *commands):
    return [result.decode() for result in locks.apply([command.encode() for command in commands])]


def test_a_lock_has_one_holder(locks):
    assert apply(locks, "acquire deploy alice", "acquire deploy bob") == ["granted 1", "held alice"]
    assert locks.query(b"holder deploy") == b"held alice 1 0"
    assert apply(locks, "release deploy 1", "release deploy 1") == ["released", "lost"]
    assert locks.query(b"holder deploy") == b"free"


def test_tokens_increase_with_every_grant(locks):
    assert apply(locks, "acquire a x", "acquire b x", "release a 1", "acquire a y") == [
        "granted 1",
        "granted 2",
        "released",
        "granted 3",
    ]
    assert apply(locks, "release a 1", "renew a 1") == ["lost", "lost"]


def test_a_lock_that_was_renewed_since_it_was_read_cannot_be_broken(locks):
    apply(locks, "acquire deploy alice", "renew deploy 1")
    assert locks.query(b"holder deploy") == b"held alice 1 1"
    assert apply(locks, "renew deploy 1", "break deploy 1 1") == ["renewed 2", "lost"]
    assert apply(locks, "break deploy 1 2", "acquire deploy bob") == ["broken", "granted 2"]
    assert apply(locks, "break deploy 1 2", "renew deploy 1") == ["lost", "lost"]


def test_a_repeated_acquire_gets_the_same_token(locks):
    machine = SessionedMachine(locks)
    session = machine.open_session(pb.OpenSession(ttl_ms=1000))
    entry = command_entry([(b"acquire deploy alice", session, 1, 1)], time_ms=1)
    assert [machine.apply(entry, index)[0].result for index in (1, 2)] == [b"granted 1", b"granted 1"]


async def test_the_client_calls_of_the_page(make_node, locks):
    node = await make_node()
    ReplicatedState(locks).serve(node)
    node.script = losing_responses(node.script)
    async with AsyncRaftClient(node.address) as client:
        assert await client.command(b"acquire deploy alice") == b"granted 1"
        assert await client.query(b"holder deploy") == b"held alice 1 0"
        assert await client.query(b"holder deploy", any_node=True) == b"held alice 1 0"
        assert await client.command(b"release deploy 1") == b"released"


@given(st.binary(max_size=50))
def test_any_bytes_are_a_valid_input(data):
    locks = LockService()
    assert locks.apply([data])[0].startswith((b"error", b"granted", b"lost"))
    assert locks.query(data).startswith((b"error", b"free", b"held"))


commands = st.lists(
    st.builds(
        " ".join,
        st.one_of(
            st.tuples(st.just("acquire"), st.sampled_from("ab"), st.sampled_from("xé")),
            st.tuples(st.sampled_from(["renew", "release"]), st.sampled_from("ab"), st.sampled_from("123")),
            st.tuples(st.just("break"), st.sampled_from("ab"), st.sampled_from("123"), st.sampled_from("01")),
        ),
    ),
    max_size=20,
)


@given(commands, commands, st.integers(1, 9))
def test_a_restored_service_behaves_like_the_original(before, after, size):
    one, other = LockService(), LockService()
    apply(one, *before)
    whole = b"".join(one.snapshot())
    other.restore([whole[start : start + size] for start in range(0, len(whole), size)])
    assert apply(one, *after) == apply(other, *after)
    assert b"".join(one.snapshot()) == b"".join(other.snapshot())


def test_a_snapshot_has_the_state_at_the_time_of_the_call(locks):
    chunks = locks.snapshot()
    apply(locks, "acquire deploy alice")
    other = LockService()
    other.restore(chunks)
    assert other.query(b"holder deploy") == b"free"


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "line 1"), (b"x\n", "line 1"), (b"1\na b\n", "line 2"), (b"1\na b 1 0\na b x 0\n", "line 3")],
)
def test_an_invalid_snapshot_is_rejected_and_changes_nothing(locks, data, message):
    apply(locks, "acquire deploy alice")
    with pytest.raises(ValueError, match=message):
        locks.restore([data])
    assert locks.query(b"holder deploy") == b"held alice 1 0"
