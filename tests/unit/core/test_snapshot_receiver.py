"""SnapshotReceiver: chunks are accepted in order and once, and the snapshot only with the right checksum (§7)."""

from dataclasses import replace
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.messages import InstallSnapshot
from raft_pkg.core.ready import SnapshotChunk
from raft_pkg.core.snapshot_receiver import SnapshotReceiver
from raft_pkg.core.types import SnapshotMetadata

DATA = b"0123456789"
METADATA = SnapshotMetadata(7, 2, Configuration.of(*"abc"), len(DATA), crc32(DATA))


def chunk(start, stop, *, metadata=METADATA, data=DATA):
    return InstallSnapshot(metadata, start, data[start:stop], 0)


@pytest.fixture
def receiver():
    return SnapshotReceiver()


def test_chunks_are_accepted_in_order(receiver):
    accepted = [receiver.accept(chunk(0, 4)), receiver.accept(chunk(4, 8)), receiver.accept(chunk(8, 10))]
    assert [(one.offset, one.data, one.is_last) for one in accepted] == [
        (0, b"0123", False),
        (4, b"4567", False),
        (8, b"89", True),
    ]


@pytest.mark.parametrize("again", [(0, 4), (2, 6), (5, 8), (8, 10)], ids=str)
def test_only_the_next_chunk_is_accepted(receiver, again):
    """Messages are lost, duplicated, and delayed."""
    receiver.accept(chunk(0, 4))
    assert receiver.accept(chunk(*again)) is None
    assert receiver.next_offset(METADATA) == 4
    assert receiver.accept(chunk(4, 10)).is_last


def test_chunk_without_data_is_not_accepted(receiver):
    receiver.accept(chunk(0, 4))
    assert receiver.accept(chunk(4, 4)) is None
    assert receiver.next_offset(METADATA) == 4


def test_empty_snapshot_is_one_chunk(receiver):
    metadata = replace(METADATA, size=0, checksum=0)
    accepted = receiver.accept(chunk(0, 0, metadata=metadata))
    assert accepted == SnapshotChunk(metadata, 0, b"")
    assert accepted.is_last


def test_chunk_beyond_the_size_is_not_accepted(receiver):
    assert receiver.accept(chunk(0, 11, data=DATA + b"x")) is None
    assert receiver.next_offset(METADATA) == 0


@pytest.mark.parametrize("change", [{"index": 8}, {"term": 3}, {"checksum": 1}, {"size": 11}], ids=str)
def test_another_snapshot_starts_from_the_beginning(receiver, change):
    """Only snapshots with equal metadata have equal bytes."""
    other = replace(METADATA, **change)
    receiver.accept(chunk(0, 4))
    assert receiver.next_offset(other) == 0
    assert receiver.accept(chunk(4, 8, metadata=other)) is None
    assert receiver.accept(chunk(0, 4, metadata=other)) is not None
    assert (receiver.next_offset(other), receiver.next_offset(METADATA)) == (4, 0)


def test_snapshot_with_wrong_checksum_is_discarded(receiver):
    """Step 7 of Figure 13 would replace the whole state with it."""
    receiver.accept(chunk(0, 4))
    assert receiver.accept(chunk(4, 10, data=b"0123456780")) is None
    assert receiver.next_offset(METADATA) == 0
    receiver.accept(chunk(0, 4))
    assert receiver.accept(chunk(4, 10)).is_last


def test_reset_discards_received_chunks(receiver):
    receiver.accept(chunk(0, 4))
    receiver.reset()
    assert receiver.next_offset(METADATA) == 0


def test_rejected_chunks_do_not_affect_received_ones(receiver):
    newer = SnapshotMetadata(9, 2, Configuration.of(*"abc"), 5, crc32(b"01234"))
    receiver.accept(chunk(0, 5))
    for rejected in (
        chunk(1, 2, metadata=newer),
        chunk(5, 11, data=DATA + b"X"),
        chunk(5, 5),
        chunk(4, 5),
    ):
        assert receiver.accept(rejected) is None
    assert receiver.next_offset(METADATA) == 5


@given(st.binary(min_size=1, max_size=40), st.integers(1, 10), st.data())
def test_duplicated_reordered_and_lost_chunks_make_up_the_snapshot(data, chunk_bytes, rng):
    receiver, metadata = SnapshotReceiver(), SnapshotMetadata(5, 2, Configuration.of(*"abc"), len(data), crc32(data))
    received = bytearray()
    for _ in range(500):
        offset = receiver.next_offset(metadata)
        if rng.draw(st.booleans()):
            offset = rng.draw(st.integers(0, len(data)))
        accepted = receiver.accept(chunk(offset, offset + chunk_bytes, metadata=metadata, data=data))
        if accepted is not None:
            assert accepted == SnapshotChunk(metadata, len(received), data[offset : offset + chunk_bytes])
            received += accepted.data
            if accepted.is_last:
                assert received == data
                return
    raise AssertionError("the snapshot is never complete")
