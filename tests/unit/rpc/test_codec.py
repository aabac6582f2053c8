"""The wire form: encoding is reversible, and invalid bytes raise `DecodeError`."""

import contextlib
from dataclasses import replace

import pytest
from google.protobuf.message import DecodeError as ProtobufDecodeError
from hypothesis import given
from hypothesis import strategies as st

from raft_pkg.core import messages
from raft_pkg.core.configuration import MEMBERS_MAX, Configuration, Member
from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Discovery,
    InstallSnapshot,
    Message,
    RequestVote,
)
from raft_pkg.core.types import Entry, EntryKind, SnapshotMetadata
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.codec import _DECODERS, _ENCODERS, DecodeError, decode_message, encode_message

numbers = st.integers(0, 2**64 - 1)
incarnations = st.integers(0, 2**63 - 1)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
node_ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@st.composite
def configurations(draw):
    """Draw a configuration, which may be joint."""
    ids = draw(st.lists(node_ids, unique=True, min_size=1, max_size=5))
    members = [Member(node_id, draw(names), draw(incarnations)) for node_id in ids]
    voters = draw(st.integers(1, len(members)))
    learners = members[voters:]
    to_promote = draw(st.sets(st.sampled_from(learners))) if learners else set()
    outgoing = draw(st.lists(st.sampled_from(members), unique=True))
    return Configuration(
        tuple(members[:voters]), tuple(learners), tuple(outgoing), tuple(member.node_id for member in to_promote)
    )


@st.composite
def append_entries(draw):
    """Draw an AppendEntries with consecutive entries, as a leader sends it."""
    prev_log_index = draw(st.integers(0, 2**40))
    entries = []
    for index in range(prev_log_index + 1, prev_log_index + 1 + draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(EntryKind))
        is_configuration = kind is EntryKind.CONFIGURATION
        data = draw(configurations()).encode() if is_configuration else draw(st.binary(max_size=50))
        entries.append(Entry(index, draw(numbers), kind, data))
    return AppendEntries(
        prev_log_index, draw(numbers), tuple(entries), draw(numbers), draw(numbers), draw(st.booleans())
    )


snapshots = st.builds(SnapshotMetadata, numbers, numbers, configurations(), numbers, st.integers(0, 2**32 - 1))
composed = {
    AppendEntries: append_entries(),
    InstallSnapshot: st.builds(InstallSnapshot, snapshots, numbers, st.binary(max_size=200), numbers, st.booleans()),
    Discovery: st.builds(
        Discovery, st.booleans(), st.lists(names).map(tuple), names, st.booleans(), names, names, numbers
    ),
}


def any_body():
    """Return a strategy for all bodies of the core's messages."""
    simple = [body for body in messages.Body.__args__ if body not in composed]
    return st.one_of(*composed.values(), *(st.builds(body, **_fields(body)) for body in simple))


def _fields(body):
    of_type = {"int": numbers, "bool": st.booleans()}
    return {
        name: of_type[getattr(field.type, "__name__", field.type)] for name, field in body.__dataclass_fields__.items()
    }


any_message = st.builds(Message, names, names, numbers, any_body(), incarnations, incarnations)


@given(any_message)
def test_encoding_is_reversible(message):
    wire = encode_message(message).SerializeToString()
    assert decode_message(pb.PeerMessage.FromString(wire)) == message


def test_every_body_of_core_and_wire_has_a_codec():
    assert set(_ENCODERS) == set(messages.Body.__args__)
    on_the_wire = {field.name for field in pb.PeerMessage.DESCRIPTOR.oneofs_by_name["body"].fields}
    assert {name for name, _ in _ENCODERS.values()} == set(_DECODERS) == on_the_wire


def receive(data):
    """Decode a batch as a node does; return the valid messages."""
    try:
        batch = pb.PeerBatch.FromString(data)
    except ProtobufDecodeError:
        return []
    decoded = []
    for wire in batch.messages:
        with contextlib.suppress(DecodeError):
            decoded.append(decode_message(wire))
    return decoded


@given(st.binary(max_size=500))
def test_arbitrary_bytes_are_decoded_or_rejected(data):
    for message in receive(data):
        assert decode_message(encode_message(message)) == message


@st.composite
def damaged_batches(draw):
    """Draw valid messages with some bytes changed, inserted, repeated or removed."""
    batch = pb.PeerBatch(messages=[encode_message(m) for m in draw(st.lists(any_message, min_size=1, max_size=3))])
    data = bytearray(batch.SerializeToString())
    for _ in range(draw(st.integers(1, 8))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(start + 16, len(data))))
        data[start:stop] = draw(st.binary(max_size=16) | st.just(bytes(data[start:stop] * 2)))
    return bytes(data)


@given(damaged_batches())
def test_damaged_messages_are_decoded_or_rejected(data):
    for message in receive(data):
        assert decode_message(encode_message(message)) == message


@given(any_message, st.sampled_from(["index", "snapshot_term", "size", "offset", "checksum"]), numbers)
def test_the_announced_size_of_a_snapshot_allocates_nothing(message, field, number):
    body = InstallSnapshot(SnapshotMetadata(9, 1, Configuration.of("a"), 5, 0), 0, b"chunk", 0)
    wire = encode_message(replace(message, body=body))
    setattr(wire.install_snapshot, field, number % 2**32 if field == "checksum" else number)
    assert decode_message(wire).body.data == b"chunk"


@pytest.mark.parametrize("damage", [{"data": b"other"}, {"data": b""}, {"data_checksum": 1}])
def test_a_chunk_with_a_wrong_checksum_is_rejected(damage):
    body = InstallSnapshot(SnapshotMetadata(9, 1, Configuration.of("a"), 500, 0), 32, b"chunk", 0)
    wire = encode_message(Message("a", "b", 1, body))
    for name, value in damage.items():
        setattr(wire.install_snapshot, name, value)
    with pytest.raises(DecodeError, match="snapshot of index 9: the chunk at offset 32 does not match its checksum"):
        decode_message(wire)


INVALID_CONFIGURATIONS = {
    "empty": b"",
    "not JSON": b"{",
    "not an object": b"[]",
    "a missing field": b'{"voters":[],"learners":[],"outgoing":[]}',
    "an unknown field": b'{"voters":[],"learners":[],"outgoing":[],"to_promote":[],"more":1}',
    "a member of two parts": b'{"voters":[["a",""]],"learners":[],"outgoing":[],"to_promote":[]}',
    "a boolean incarnation": b'{"voters":[["a","",true]],"learners":[],"outgoing":[],"to_promote":[]}',
    "an incarnation above the limit": Configuration.of("a").encode().replace(b",0]", b",9223372036854775808]"),
    "a repeated identity": b'{"voters":[["a","",1],["a","",2]],"learners":[],"outgoing":[],"to_promote":[]}',
    "an empty identity": b'{"voters":[["","",1]],"learners":[],"outgoing":[],"to_promote":[]}',
    "an identity that is not Unicode": b'{"voters":[["\\ud800","",1]],"learners":[],"outgoing":[],"to_promote":[]}',
    "a promotion of a voter": b'{"voters":[["a","",1]],"learners":[],"outgoing":[],"to_promote":["a"]}',
    "deeply nested": b"[" * 100_000,
    "a very long number": b"9" * 100_000,
    "too many members": Configuration.of(*(str(number) for number in range(2 * MEMBERS_MAX)))
    .encode()
    .replace(b'"voters":[', b'"voters":[["more","",0],'),
}


@pytest.mark.parametrize("data", INVALID_CONFIGURATIONS.values(), ids=INVALID_CONFIGURATIONS)
def test_an_invalid_configuration_is_rejected_in_entries_and_snapshots(data):
    """Otherwise it would become effective in the core."""
    wire = encode_message(Message("a", "b", 1, AppendEntries(0, 0, (), 0, 0)))
    wire.append_entries.entries.append(pb.Entry(index=1, term=1, kind=pb.ENTRY_KIND_CONFIGURATION, data=data))
    with pytest.raises(DecodeError, match="entry 1: "):
        decode_message(wire)
    body = InstallSnapshot(SnapshotMetadata(9, 1, Configuration.of("a"), 0, 0), 0, b"", 0)
    wire = encode_message(Message("a", "b", 1, body))
    wire.install_snapshot.configuration = data
    with pytest.raises(DecodeError, match="snapshot of index 9: "):
        decode_message(wire)


@pytest.mark.parametrize("field", ["from_incarnation", "to_incarnation"])
def test_an_incarnation_above_the_limit_is_rejected(field):
    """Regression: from a Discovery it got into an invalid configuration, and stopped the node."""
    wire = encode_message(Message("raft-7", "b", 0, Discovery(True, ("a", "b"), "")))
    setattr(wire, field, 2**63)
    with pytest.raises(DecodeError, match="raft-7 sent a message with the invalid incarnation 9223372036854775808"):
        decode_message(wire)


def test_an_unknown_body_is_rejected_with_its_sender():
    with pytest.raises(DecodeError, match="raft-7 sent a message with an unknown body"):
        decode_message(pb.PeerMessage(**{"from": "raft-7", "to": "raft-0", "term": 1}))


@pytest.mark.parametrize("kind", [0, 99])
def test_an_entry_of_unknown_kind_is_rejected(kind):
    wire = encode_message(Message("a", "b", 1, AppendEntries(0, 0, (), 0, 0)))
    wire.append_entries.entries.append(pb.Entry(index=1, term=1, kind=kind))
    with pytest.raises(DecodeError, match=f"entry 1 has the unknown kind {kind}"):
        decode_message(wire)


@pytest.mark.parametrize("indexes", [(7,), (5, 7), (6, 5), (5, 5)])
def test_entries_that_are_not_consecutive_are_rejected(indexes):
    """Regression: they stopped the node that received them."""
    wire = encode_message(Message("a", "b", 1, AppendEntries(4, 1, (), 0, 0)))
    wire.append_entries.entries.extend(pb.Entry(index=index, term=1, kind=pb.ENTRY_KIND_NOOP) for index in indexes)
    with pytest.raises(DecodeError, match=r"found entry \d instead of entry \d"):
        decode_message(wire)


def test_defaults_survive_the_wire():
    """proto3 does not encode zeros."""
    for body in (AppendEntriesReply(success=False), RequestVote(0, 0)):
        assert decode_message(encode_message(Message("", "", 0, body))).body == body
