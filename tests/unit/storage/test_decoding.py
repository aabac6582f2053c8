"""Arbitrary bytes: rejected with a `StorageError`, quickly and within bounded memory."""

import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from samples import (
    DATA,
    FIRST_SEGMENT,
    MEMBERS,
    NODE_FILE,
    compacted,
    entries,
    several_segments,
    snapshot_path,
    three_batches,
)
from scripted_disk import ScriptedDisk

from raft_pkg.core.types import Entry, EntryKind, HardState
from raft_pkg.errors import CorruptLogError, StorageError
from raft_pkg.storage import FileStorage, _record, _snapshot, verify_directory
from raft_pkg.storage._record import BatchEncoder, Damage, InvalidRecordError, Record, RecordDecoder

CLOSED = several_segments(1).copy()
KILLED = three_batches()[0].copy()
SIZE = len(KILLED[FIRST_SEGMENT])
COMPACTED = compacted().copy()
SNAPSHOT = snapshot_path(10)
SNAPSHOT_BYTES = COMPACTED[SNAPSHOT]


def verdict(files: dict) -> str:
    try:
        verify_directory(DATA, filesystem=ScriptedDisk.holding(files))
    except StorageError as error:
        return type(error).__name__
    return "sound"


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=4000))
@example(b"RAFTLOG\n" + bytes(504))
def test_any_bytes_as_a_segment(content: bytes) -> None:
    assert verdict(KILLED | {FIRST_SEGMENT: content}) == "CorruptLogError"


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_as_a_node_file(content: bytes) -> None:
    assert verdict(KILLED | {NODE_FILE: content}) == "CorruptLogError"


@settings(max_examples=150, deadline=None)
@given(st.integers(0, SIZE - 1), st.binary(min_size=1, max_size=600))
def test_bytes_written_over_a_log(position: int, content: bytes) -> None:
    """If the log is accepted, no synced entry is missing."""
    whole = KILLED[FIRST_SEGMENT]
    files = KILLED | {FIRST_SEGMENT: whole[:position] + content + whole[position + len(content) :]}
    try:
        report = verify_directory(DATA, filesystem=ScriptedDisk.holding(files))
    except StorageError:
        return
    assert report.last_index >= 4


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=2000))
@example(b"RAFTSNAP" + bytes(100))
def test_any_bytes_as_a_snapshot(content: bytes) -> None:
    assert verdict(COMPACTED | {SNAPSHOT: content}) == "CorruptLogError"


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(SNAPSHOT_BYTES)), st.binary(max_size=300), st.integers(0, 300))
def test_bytes_written_over_a_snapshot(position: int, content: bytes, instead_of: int) -> None:
    damaged = SNAPSHOT_BYTES[:position] + content + SNAPSHOT_BYTES[position + instead_of :]
    expected = "sound" if damaged == SNAPSHOT_BYTES else "CorruptLogError"
    assert verdict(COMPACTED | {SNAPSHOT: damaged}) == expected


LENGTHS = st.sampled_from([0, 1, 6, 0xFFFF, 1 << 20, (1 << 20) + 1, 0x7FFFFFFF, 0xFFFFFFFF])


@settings(max_examples=100, deadline=None)
@given(LENGTHS, LENGTHS, st.sampled_from([0, 1, 1051, 1 << 40, (1 << 64) - 1]), st.booleans())
def test_lengths_in_a_snapshot_are_verified_before_use(
    configuration: int, node_id: int, size: int, right: bool
) -> None:
    """Even in a header or trailer with a right checksum; quickly and within bounded memory."""
    fields = _snapshot._FIELDS.pack(b"RAFTSNAP", 2, configuration, 10, 10, node_id & 0xFFFF)
    rest = SNAPSHOT_BYTES[_snapshot._FIELDS.size : -20]
    end = _snapshot._FIELDS.size + configuration + (node_id & 0xFFFF)
    content = fields + rest
    if right and end < len(content):
        content = content[:end] + zlib.crc32(content[:end]).to_bytes(4, "little") + content[end + 4 :]
    content += _snapshot._encode_trailer(size, 0, zlib.crc32(content[: end + 4]))
    tracemalloc.start()
    try:
        assert verdict(COMPACTED | {SNAPSHOT: content}) == "CorruptLogError"
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_large_snapshot_is_verified_within_bounded_memory(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path, "raft-0")
    storage.recover()
    writer = storage.begin_snapshot(1, 1, MEMBERS)
    chunk = bytes(range(256)) * 4096
    for _ in range(30):
        writer.write(chunk)
    metadata = writer.commit()
    storage.close()
    tracemalloc.start()
    try:
        report = verify_directory(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()
    assert report.snapshot == metadata


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 100), st.integers(0, 1 << 32))
def test_any_bytes_as_a_record(content: bytes, offset: int, previous: int) -> None:
    assert isinstance(RecordDecoder(content, 1).decode(offset, previous), Damage)


def encoded(*, sequence: int = 1, offset: int = 0, synced: int = 0, **replaced: object) -> bytes:
    """Return the record of an entry with some header fields replaced, and right checksums."""
    batch = BatchEncoder(sequence, offset, synced, 77)
    batch.add_entry(entries(1, 1)[0])
    header, data, _ = batch.buffers
    data = replaced.pop("data", data)
    names = (
        "magic",
        "type",
        "kind",
        "flags",
        "stored",
        "length",
        "previous",
        "sequence",
        "offset",
        "synced",
        "index",
        "term",
    )
    fields = dict(zip(names, _record._HEADER.unpack(header[:-4]), strict=True)) | {"stored": len(data)}
    header = _record._HEADER.pack(*(fields | replaced).values())
    checksum = zlib.crc32(data + bytes(-len(data) % 8), zlib.crc32(header))
    trailer = _record._TRAILER.pack(checksum, _record._END_MARK)
    return header + zlib.crc32(header).to_bytes(4, "little") + data + bytes(-len(data) % 8) + trailer


def test_the_unchanged_record_is_valid() -> None:
    record = RecordDecoder(encoded(), 1).decode(0, 77)
    assert isinstance(record, Record)
    assert record.value == entries(1, 1)[0]


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"sequence": 2}, "another position"),
        ({"offset": 8}, "another position"),
        ({"previous": 78}, "does not follow the previous record"),
        ({"synced": 1}, "more was synced than was written"),
        ({"type": 0}, "unknown type 0"),
        ({"type": 9}, "unknown type 9"),
        ({"kind": 0}, "unknown kind 0"),
        ({"kind": 77}, "unknown kind 77"),
        ({"length": 1}, "does not have the length"),
        ({"flags": 2, "length": 3}, "expands to more than 3 bytes"),
        ({"flags": 2, "length": 300}, "does not have the length"),
        ({"type": 1, "flags": 1, "data": b"\xff"}, "vote of a hard state is not text"),
    ],
)
def test_invalid_records_with_right_checksums(replaced: dict, message: str) -> None:
    with pytest.raises(InvalidRecordError, match=message):
        RecordDecoder(encoded(**replaced), 1).decode(0, 77)


def test_the_magic_number_is_verified_besides_the_checksum() -> None:
    assert isinstance(RecordDecoder(encoded(magic=b"\0\0\0\0"), 1).decode(0, 77), Damage)


def test_a_record_that_expands_beyond_the_limit_is_rejected_before_expansion() -> None:
    bomb = encoded(data=b"\x1b\x02" * 3_000_000, flags=2, length=(1 << 32) - 1)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRecordError, match="expands to more than 67108864 bytes"):
            RecordDecoder(bomb, 1).decode(0, 77)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_length_beyond_the_file_allocates_nothing() -> None:
    damage = RecordDecoder(encoded(stored=(1 << 32) - 1), 1).decode(0, 77)
    assert isinstance(damage, Damage)
    assert damage.what == "the file ends in the middle of a record"


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(list(EntryKind)), st.binary(max_size=100)), max_size=3),
    st.none() | st.text(max_size=5),
)
def test_encoding_is_reversible(chunks: list, vote: str | None) -> None:
    values: list[HardState | Entry] = [HardState(3, vote)]
    values += [Entry(index, 3, kind, data) for index, (kind, data) in enumerate(chunks, 1)]
    batch = BatchEncoder(9, 40, 16, 5)
    batch.add_hard_state(values[0])
    for value in values[1:]:
        batch.add_entry(value)
    decoder = RecordDecoder(bytes(40) + b"".join(batch.buffers), 9)
    offset, checksum, decoded = 40, 5, []
    while offset < batch.end:
        record = decoder.decode(offset, checksum)
        assert isinstance(record, Record)
        decoded.append(record.value)
        offset, checksum = record.end, record.checksum
    assert decoded == values
    assert checksum == batch.checksum


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([b"\0", b"\0" * 63, b"\0" * 64, b"\x1b", b"\x01", b"\x02", b"x"]), max_size=30).map(
        b"".join
    )
)
def test_escaping_is_reversible_and_leaves_no_long_run_of_zeros(data: bytes) -> None:
    escaped = _record._escape(data)
    assert bytes(64) not in escaped
    assert _record._unescape(escaped, len(data)) == data


def test_a_vote_that_is_not_valid_utf_8_is_damage() -> None:
    batch = BatchEncoder(1, 512, 512, zlib.crc32(KILLED[FIRST_SEGMENT][:508]))
    batch.add_entry(entries(1, 1)[0])
    content = KILLED[FIRST_SEGMENT][:512] + b"".join(batch.buffers)
    with pytest.raises(CorruptLogError, match="byte 512: the segment does not start with a hard state"):
        verify_directory(DATA, filesystem=ScriptedDisk.holding(CLOSED | {FIRST_SEGMENT: content}))
