"""SnapshotReceiver: chunks are taken in order, once, and only if in the end they are what the leader announced (§7)."""

from dataclasses import replace
from zlib import crc32

import pytest

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.messages import InstallSnapshot
from raft_pkg.core.snapshot_receiver import SnapshotReceiver
from raft_pkg.core.types import SnapshotMetadata

DATA = b"0123456789"
METADATA = SnapshotMetadata(7, 2, Configuration.of(*"abc"), len(DATA), crc32(DATA))


def chunk(start, stop, *, metadata=METADATA, data=DATA):
    return InstallSnapshot(metadata, start, data[start:stop], 0)


@pytest.fixture
def receiver():
    return SnapshotReceiver()


def test_chunks_are_taken_in_order_and_the_last_one_is_known(receiver):
    taken = [receiver.accept(chunk(0, 4)), receiver.accept(chunk(4, 8)), receiver.accept(chunk(8, 10))]
    assert [(one.offset, one.data, one.is_last) for one in taken] == [
        (0, b"0123", False),
        (4, b"4567", False),
        (8, b"89", True),
    ]


@pytest.mark.parametrize("again", [(0, 4), (2, 6), (5, 8), (8, 10)], ids=str)
def test_only_the_next_chunk_is_taken(receiver, again):
    """Messages are lost, repeated, and come late."""
    receiver.accept(chunk(0, 4))
    assert receiver.accept(chunk(*again)) is None
    assert receiver.next_offset(METADATA) == 4
    assert receiver.accept(chunk(4, 10)).is_last


def test_a_chunk_without_data_asks_how_far_the_snapshot_is(receiver):
    receiver.accept(chunk(0, 4))
    assert receiver.accept(chunk(4, 4)) is None
    assert receiver.next_offset(METADATA) == 4


def test_an_empty_snapshot_is_one_chunk(receiver):
    assert receiver.accept(chunk(0, 0, metadata=replace(METADATA, size=0, checksum=0))).is_last


def test_a_chunk_beyond_the_end_is_refused(receiver):
    assert receiver.accept(chunk(0, 11, data=DATA + b"x")) is None
    assert receiver.next_offset(METADATA) == 0


@pytest.mark.parametrize("change", [{"index": 8}, {"term": 3}, {"checksum": 1}, {"size": 11}], ids=str)
def test_another_snapshot_begins_anew(receiver, change):
    """Equal metadata mean equal bytes, whoever sends them; others may share no byte."""
    other = replace(METADATA, **change)
    receiver.accept(chunk(0, 4))
    assert receiver.next_offset(other) == 0
    assert receiver.accept(chunk(4, 8, metadata=other)) is None
    assert receiver.accept(chunk(0, 4, metadata=other)) is not None
    assert receiver.next_offset(METADATA) == 0


def test_what_is_not_as_announced_in_the_end_is_thrown_away(receiver):
    """Step 7 of Figure 13 replaces the whole state by it."""
    receiver.accept(chunk(0, 4))
    assert receiver.accept(chunk(4, 10, data=b"0123456780")) is None
    assert receiver.next_offset(METADATA) == 0
    receiver.accept(chunk(0, 4))
    assert receiver.accept(chunk(4, 10)).is_last


def test_a_snapshot_that_is_not_needed_any_more_is_forgotten(receiver):
    receiver.accept(chunk(0, 4))
    receiver.reset()
    assert receiver.next_offset(METADATA) == 0
