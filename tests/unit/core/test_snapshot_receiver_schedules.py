"""SnapshotReceiver: whatever the network does to the chunks, they are taken in order, and only if they add up."""

from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.messages import InstallSnapshot
from raft_pkg.core.ready import SnapshotChunk
from raft_pkg.core.snapshot_receiver import SnapshotReceiver
from raft_pkg.core.types import SnapshotMetadata


def metadata_of(data, index=5):
    return SnapshotMetadata(index, 2, Configuration.of(*"abc"), len(data), crc32(data))


def request(metadata, offset, data):
    return InstallSnapshot(metadata, offset, data, 0)


@given(st.binary(min_size=1, max_size=40), st.integers(1, 10), st.data())
def test_repeated_reordered_and_lost_chunks_add_up_to_the_snapshot(data, chunk_bytes, rng):
    receiver, metadata = SnapshotReceiver(), metadata_of(data)
    received = bytearray()
    for _ in range(500):
        offset = receiver.next_offset(metadata)
        if rng.draw(st.booleans()):
            offset = rng.draw(st.integers(0, len(data)))
        chunk = receiver.accept(request(metadata, offset, data[offset : offset + chunk_bytes]))
        if chunk is not None:
            assert chunk == SnapshotChunk(metadata, len(received), data[offset : offset + chunk_bytes])
            received += chunk.data
            if chunk.is_last:
                assert received == data
                return
    raise AssertionError("it does not come to its end")


def test_damage_anywhere_shows_with_the_last_chunk():
    receiver, metadata = SnapshotReceiver(), metadata_of(b"0123456789")
    assert receiver.accept(request(metadata, 0, b"01234")) is not None
    assert receiver.accept(request(metadata, 5, b"5678X")) is None
    assert receiver.next_offset(metadata) == 0
    assert receiver.accept(request(metadata, 0, b"0123456789")).is_last


def test_another_snapshot_begins_anew():
    receiver, older, newer = SnapshotReceiver(), metadata_of(b"0123456789"), metadata_of(b"01234", index=9)
    receiver.accept(request(older, 0, b"01234"))
    assert receiver.next_offset(newer) == 0
    assert receiver.accept(request(newer, 0, b"012")) == SnapshotChunk(newer, 0, b"012")
    assert (receiver.next_offset(newer), receiver.next_offset(older)) == (3, 0)
    assert receiver.accept(request(newer, 3, b"34")).is_last


def test_what_is_refused_leaves_what_was_there():
    receiver, older, newer = SnapshotReceiver(), metadata_of(b"0123456789"), metadata_of(b"01234", index=9)
    receiver.accept(request(older, 0, b"01234"))
    for refused in (
        request(newer, 1, b"1"),
        request(older, 5, b"56789X"),
        request(older, 5, b""),
        request(older, 4, b"4"),
    ):
        assert receiver.accept(refused) is None
    assert receiver.next_offset(older) == 5


def test_after_clearing_nothing_is_there():
    receiver, metadata = SnapshotReceiver(), metadata_of(b"0123456789")
    receiver.accept(request(metadata, 0, b"01234"))
    receiver.reset()
    assert receiver.next_offset(metadata) == 0


def test_a_snapshot_without_bytes_is_one_chunk():
    receiver, metadata = SnapshotReceiver(), metadata_of(b"")
    assert receiver.accept(request(metadata, 0, b"")) == SnapshotChunk(metadata, 0, b"")
