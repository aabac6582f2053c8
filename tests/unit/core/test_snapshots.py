"""SnapshotInbox: chunks are taken in order, once, and only if in the end they are what the leader announced (§7)."""

from dataclasses import replace
from zlib import crc32

import pytest

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.messages import InstallSnapshot
from raft_pkg.core.snapshots import SnapshotInbox
from raft_pkg.core.types import SnapshotMetadata

DATA = b"0123456789"
METADATA = SnapshotMetadata(7, 2, Configuration.of(*"abc"), len(DATA), crc32(DATA))


def chunk(start, stop, *, metadata=METADATA, data=DATA):
    return InstallSnapshot(metadata, start, data[start:stop], 0)


@pytest.fixture
def inbox():
    return SnapshotInbox()


def test_chunks_are_taken_in_order_and_the_last_one_is_known(inbox):
    taken = [inbox.take(chunk(0, 4)), inbox.take(chunk(4, 8)), inbox.take(chunk(8, 10))]
    assert [(one.offset, one.data, one.is_last) for one in taken] == [
        (0, b"0123", False),
        (4, b"4567", False),
        (8, b"89", True),
    ]


@pytest.mark.parametrize("again", [(0, 4), (2, 6), (5, 8), (8, 10)], ids=str)
def test_only_the_next_chunk_is_taken(inbox, again):
    """Messages are lost, repeated, and come late."""
    inbox.take(chunk(0, 4))
    assert inbox.take(chunk(*again)) is None
    assert inbox.next_offset(METADATA) == 4
    assert inbox.take(chunk(4, 10)).is_last


def test_a_chunk_without_data_asks_how_far_the_snapshot_is(inbox):
    inbox.take(chunk(0, 4))
    assert inbox.take(chunk(4, 4)) is None
    assert inbox.next_offset(METADATA) == 4


def test_an_empty_snapshot_is_one_chunk(inbox):
    assert inbox.take(chunk(0, 0, metadata=replace(METADATA, size=0, checksum=0))).is_last


def test_a_chunk_beyond_the_end_is_refused(inbox):
    assert inbox.take(chunk(0, 11, data=DATA + b"x")) is None
    assert inbox.next_offset(METADATA) == 0


@pytest.mark.parametrize("change", [{"index": 8}, {"term": 3}, {"checksum": 1}, {"size": 11}], ids=str)
def test_another_snapshot_begins_anew(inbox, change):
    """Equal metadata mean equal bytes, whoever sends them; others may share no byte."""
    other = replace(METADATA, **change)
    inbox.take(chunk(0, 4))
    assert inbox.next_offset(other) == 0
    assert inbox.take(chunk(4, 8, metadata=other)) is None
    assert inbox.take(chunk(0, 4, metadata=other)) is not None
    assert inbox.next_offset(METADATA) == 0


def test_what_is_not_as_announced_in_the_end_is_thrown_away(inbox):
    """Step 7 of Figure 13 replaces the whole state by it."""
    inbox.take(chunk(0, 4))
    assert inbox.take(chunk(4, 10, data=b"0123456780")) is None
    assert inbox.next_offset(METADATA) == 0
    inbox.take(chunk(0, 4))
    assert inbox.take(chunk(4, 10)).is_last


def test_a_snapshot_that_is_not_needed_any_more_is_forgotten(inbox):
    inbox.take(chunk(0, 4))
    inbox.clear()
    assert inbox.next_offset(METADATA) == 0
