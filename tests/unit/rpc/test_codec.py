"""The wire form: what is encoded comes back, and bytes of any kind are refused with an error, never with a crash."""

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
    """Voters, learners and, in a transition, the voters before it."""
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
    """AppendEntries with consecutive entries, as a leader sends them."""
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
by_hand = {
    AppendEntries: append_entries(),
    InstallSnapshot: st.builds(InstallSnapshot, snapshots, numbers, st.binary(max_size=200), numbers, st.booleans()),
    Discovery: st.builds(
        Discovery, st.booleans(), st.lists(names).map(tuple), names, st.booleans(), names, names, numbers
    ),
}


def any_body():
    """A body of any kind that the core knows."""
    simple = [kind for kind in messages.Body.__args__ if kind not in by_hand]
    return st.one_of(*by_hand.values(), *(st.builds(kind, **_fields(kind)) for kind in simple))


def _fields(kind):
    of_type = {"int": numbers, "bool": st.booleans()}
    return {
        name: of_type[getattr(field.type, "__name__", field.type)] for name, field in kind.__dataclass_fields__.items()
    }


any_message = st.builds(Message, names, names, numbers, any_body(), incarnations, incarnations)


@given(any_message)
def test_what_is_encoded_comes_back(message):
    wire = encode_message(message).SerializeToString()
    assert decode_message(pb.PeerMessage.FromString(wire)) == message


def test_every_body_of_the_core_and_of_the_wire_has_its_codec():
    """Neither side can grow a body that the other does not know."""
    assert set(_ENCODERS) == set(messages.Body.__args__)
    on_the_wire = {field.name for field in pb.PeerMessage.DESCRIPTOR.oneofs_by_name["body"].fields}
    assert {name for name, _ in _ENCODERS.values()} == set(_DECODERS) == on_the_wire


def receive(data):
    """What a node does with bytes that came as a batch; returns the messages, none when they are refused."""
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
def test_any_bytes_are_decoded_or_refused(data):
    for message in receive(data):
        assert decode_message(encode_message(message)) == message


@st.composite
def damaged_batches(draw):
    """Valid messages in which some bytes were changed, put in, repeated, or cut out."""
    batch = pb.PeerBatch(messages=[encode_message(m) for m in draw(st.lists(any_message, min_size=1, max_size=3))])
    data = bytearray(batch.SerializeToString())
    for _ in range(draw(st.integers(1, 8))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(start + 16, len(data))))
        data[start:stop] = draw(st.binary(max_size=16) | st.just(bytes(data[start:stop] * 2)))
    return bytes(data)


@given(damaged_batches())
def test_damaged_messages_are_decoded_or_refused(data):
    for message in receive(data):
        assert decode_message(encode_message(message)) == message


@given(any_message, st.sampled_from(["index", "snapshot_term", "size", "offset", "checksum"]), numbers)
def test_a_snapshot_of_any_size_takes_no_more_room_than_its_chunk(message, field, number):
    """The numbers say what is to come; nothing is set aside for it."""
    body = InstallSnapshot(SnapshotMetadata(9, 1, Configuration.of("a"), 5, 0), 0, b"chunk", 0)
    wire = encode_message(replace(message, body=body))
    setattr(wire.install_snapshot, field, number % 2**32 if field == "checksum" else number)
    assert decode_message(wire).body.data == b"chunk"


@pytest.mark.parametrize("damage", [{"data": b"other"}, {"data": b""}, {"data_checksum": 1}])
def test_a_chunk_that_was_changed_on_its_way_is_refused(damage):
    body = InstallSnapshot(SnapshotMetadata(9, 1, Configuration.of("a"), 500, 0), 32, b"chunk", 0)
    wire = encode_message(Message("a", "b", 1, body))
    for name, value in damage.items():
        setattr(wire.install_snapshot, name, value)
    with pytest.raises(DecodeError, match="snapshot of index 9: the chunk at offset 32 does not match its checksum"):
        decode_message(wire)


NO_CONFIGURATIONS = {
    "empty": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "a field is missing": b'{"voters":[],"learners":[],"outgoing":[]}',
    "a field too many": b'{"voters":[],"learners":[],"outgoing":[],"to_promote":[],"more":1}',
    "a member of two parts": b'{"voters":[["a",""]],"learners":[],"outgoing":[],"to_promote":[]}',
    "an incarnation that is true": b'{"voters":[["a","",true]],"learners":[],"outgoing":[],"to_promote":[]}',
    "too great an incarnation": Configuration.of("a").encode().replace(b",0]", b",9223372036854775808]"),
    "an identity twice": b'{"voters":[["a","",1],["a","",2]],"learners":[],"outgoing":[],"to_promote":[]}',
    "an identity without a name": b'{"voters":[["","",1]],"learners":[],"outgoing":[],"to_promote":[]}',
    "a name that is no text": b'{"voters":[["\\ud800","",1]],"learners":[],"outgoing":[],"to_promote":[]}',
    "who is to be promoted is no learner": b'{"voters":[["a","",1]],"learners":[],"outgoing":[],"to_promote":["a"]}',
    "nested without end": b"[" * 100_000,
    "a number without end": b"9" * 100_000,
    "too many members": Configuration.of(*(str(number) for number in range(2 * MEMBERS_MAX)))
    .encode()
    .replace(b'"voters":[', b'"voters":[["more","",0],'),
}


@pytest.mark.parametrize("data", NO_CONFIGURATIONS.values(), ids=NO_CONFIGURATIONS)
def test_what_is_no_configuration_is_refused_in_entries_and_in_snapshots(data):
    """It would reach the core, and every node that goes by it."""
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
def test_an_incarnation_that_no_node_can_have_is_refused(field):
    """Regression: in a greeting it became part of a configuration that can't be, and ended the node."""
    wire = encode_message(Message("raft-7", "b", 0, Discovery(True, ("a", "b"), "")))
    setattr(wire, field, 2**63)
    with pytest.raises(DecodeError, match="raft-7 sent a message with incarnation 9223372036854775808"):
        decode_message(wire)


def test_a_body_that_is_not_known_is_refused_by_name_of_its_sender():
    with pytest.raises(DecodeError, match="raft-7 sent a message with a body that this version does not know"):
        decode_message(pb.PeerMessage(**{"from": "raft-7", "to": "raft-0", "term": 1}))


@pytest.mark.parametrize("kind", [0, 99])
def test_an_entry_of_an_unknown_kind_is_refused(kind):
    wire = encode_message(Message("a", "b", 1, AppendEntries(0, 0, (), 0, 0)))
    wire.append_entries.entries.append(pb.Entry(index=1, term=1, kind=kind))
    with pytest.raises(DecodeError, match=f"entry 1 is of kind {kind}, which this version does not know"):
        decode_message(wire)


@pytest.mark.parametrize("indexes", [(7,), (5, 7), (6, 5), (5, 5)])
def test_entries_that_are_not_consecutive_are_refused(indexes):
    """Regression: they ended the node that received them."""
    wire = encode_message(Message("a", "b", 1, AppendEntries(4, 1, (), 0, 0)))
    wire.append_entries.entries.extend(pb.Entry(index=index, term=1, kind=pb.ENTRY_KIND_NOOP) for index in indexes)
    with pytest.raises(DecodeError, match="stands at the place of entry"):
        decode_message(wire)


def test_defaults_of_the_wire_are_those_of_the_core():
    """proto3 leaves out what is zero; it must come back as such."""
    for body in (AppendEntriesReply(success=False), RequestVote(0, 0)):
        assert decode_message(encode_message(Message("", "", 0, body))).body == body
