"""The wire form: what is encoded comes back, and bytes of any kind are refused with an error, never with a crash."""

import contextlib

import pytest
from google.protobuf.message import DecodeError as ProtobufDecodeError
from hypothesis import given
from hypothesis import strategies as st

from raft_pkg.core import messages
from raft_pkg.core.messages import AppendEntries, AppendEntriesReply, Message, RequestVote
from raft_pkg.core.types import Entry, EntryKind
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.codec import _DECODERS, _ENCODERS, DecodeError, decode_message, encode_message

numbers = st.integers(0, 2**64 - 1)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@st.composite
def append_entries(draw):
    """AppendEntries with consecutive entries, as a leader sends them."""
    prev_log_index = draw(st.integers(0, 2**40))
    datas = draw(st.lists(st.tuples(numbers, st.sampled_from(EntryKind), st.binary(max_size=50)), max_size=5))
    entries = tuple(Entry(prev_log_index + place, *data) for place, data in enumerate(datas, start=1))
    return AppendEntries(prev_log_index, draw(numbers), entries, draw(numbers), draw(numbers))


def any_body():
    """A body of any kind that the core knows."""
    made_by_hand = {AppendEntries: append_entries()}
    kinds = [kind for kind in messages.Body.__args__ if kind not in made_by_hand]
    return st.one_of(*made_by_hand.values(), *(st.builds(kind, **_fields(kind)) for kind in kinds))


def _fields(kind):
    return {
        name: st.booleans() if field.type in (bool, "bool") else names if field.type in (str, "str") else numbers
        for name, field in kind.__dataclass_fields__.items()
    }


@given(st.builds(Message, names, names, numbers, any_body()))
def test_what_is_encoded_comes_back(message):
    wire = encode_message(message).SerializeToString()
    assert decode_message(pb.PeerMessage.FromString(wire)) == message


def test_every_body_of_the_core_and_of_the_wire_has_its_codec():
    """Neither side can grow a body that the other does not know."""
    assert set(_ENCODERS) == set(messages.Body.__args__)
    on_the_wire = {field.name for field in pb.PeerMessage.DESCRIPTOR.oneofs_by_name["body"].fields}
    assert {name for name, _ in _ENCODERS.values()} == set(_DECODERS) == on_the_wire


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(data):
    try:
        wire = pb.PeerMessage.FromString(data)
    except ProtobufDecodeError:
        return
    with contextlib.suppress(DecodeError):
        message = decode_message(wire)
        assert decode_message(encode_message(message)) == message


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
