"""Unusable snapshots and compacted logs: each is rejected with file and reason, and left unchanged."""

import json
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from samples import (
    DATA,
    FIRST_SEGMENT,
    INCARNATION,
    MEMBERS,
    NODE_FILE,
    SECOND_SEGMENT,
    compacted,
    entries,
    entry,
    installed,
    recover,
    require_rejection,
    segment_path,
    snapshot_path,
    storage_on,
    take_snapshot,
    three_batches,
)
from scripted_disk import ScriptedDisk

from raft_pkg.core.types import HardState
from raft_pkg.errors import CorruptLogError, ForeignDirectoryError, StorageError
from raft_pkg.storage import FileStorage, verify_directory
from raft_pkg.storage._segment import SegmentHeader
from raft_pkg.storage._snapshot import SnapshotHeader

SNAPSHOT = snapshot_path(10)
HEADER = SnapshotHeader("raft-0", 10, 10, MEMBERS).encode()
DATA_BYTES = 256 * 4 + len(b"the rest")


def test_the_samples_are_valid() -> None:
    report = verify_directory(DATA, filesystem=compacted())
    assert (report.base_index, report.last_index, report.snapshot.index, report.segments) == (6, 13, 10, 3)
    assert len(compacted().copy()[SNAPSHOT]) == len(HEADER) + DATA_BYTES + 20
    report = verify_directory(DATA, filesystem=installed())
    assert (report.base_index, report.last_index, report.snapshot.index, report.segments) == (40, 41, 40, 1)


@pytest.mark.parametrize("sample", [compacted, installed])
def test_any_flipped_bit_of_a_snapshot(sample: Callable[[], ScriptedDisk]) -> None:
    """In both samples the log lacks entries that the snapshot replaces; see the next test for the other case."""
    files = sample().copy()
    path = next(path for path in files if path.suffix == ".snapshot")
    rng = random.Random(1)
    for position in range(len(files[path])):
        content = bytearray(files[path])
        content[position] ^= 1 << rng.randrange(8)
        disk = ScriptedDisk.holding(files | {path: bytes(content)})
        with pytest.raises(CorruptLogError, match=rf"{path.name}: byte \d+: .*nothing was changed"):
            recover(disk)
        assert disk.copy()[path] == content


def test_a_damaged_snapshot_of_entries_that_are_all_in_the_log() -> None:
    """The log could replace it, but a disk that flips bits cannot be trusted."""
    disk, storage = three_batches()
    take_snapshot(storage, 4)
    files = disk.copy()
    path = snapshot_path(4)
    require_rejection(files | {path: files[path][:-1] + b"?"}, CorruptLogError, rf"{path.name}: byte \d+: .*trailer")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: b"", "byte 0: the file ends within its header"),
        (lambda data: data[:30], "byte 30: the file ends within its header"),
        (lambda data: data[: len(HEADER) - 1], "byte 0: the snapshot's header does not match its checksum"),
        (lambda data: data[: len(HEADER)], rf"byte {len(HEADER)}: the file ends within its trailer"),
        (lambda data: data[: len(HEADER) + 19], rf"byte {len(HEADER) + 19}: the file ends within its trailer"),
        (
            lambda data: data[: len(HEADER) + 20],
            rf"byte {len(HEADER)}: the snapshot's trailer is missing",
        ),
        (
            lambda data: data[:-1],
            rf"byte {len(HEADER) + DATA_BYTES - 1}: the snapshot's trailer is missing",
        ),
        (
            lambda data: data + b"\0",
            rf"byte {len(HEADER) + DATA_BYTES + 1}: the snapshot's trailer is missing",
        ),
        (lambda data: data[:1000] + data[1001:], r"byte \d+: the data has 1031 bytes instead of the 1032 written"),
        (
            lambda data: data[:1000] + b"?" + data[1000:],
            r"byte \d+: the data has 1033 bytes instead of the 1032 written",
        ),
        (
            lambda data: data[: len(HEADER)] + data[len(HEADER) :].replace(b"the rest", b"the best"),
            rf"byte {len(HEADER)}: the snapshot's 1032 bytes do not match their checksum",
        ),
        (lambda data: bytes(len(data)), "byte 0: the snapshot's header does not match its checksum"),
        (lambda data: b"?" + data[1:], "byte 0: .*or this is not a snapshot"),
    ],
)
def test_a_snapshot_that_was_cut_or_changed(change: Callable[[bytes], bytes], message: str) -> None:
    files = compacted().copy()
    require_rejection(files | {SNAPSHOT: change(files[SNAPSHOT])}, CorruptLogError, f"{SNAPSHOT.name}: {message}")


def test_a_snapshot_cut_at_any_byte() -> None:
    files = compacted().copy()
    for size in range(len(files[SNAPSHOT])):
        with pytest.raises(CorruptLogError, match=SNAPSHOT.name):
            recover(ScriptedDisk.holding(files | {SNAPSHOT: files[SNAPSHOT][:size]}))


def test_a_missing_snapshot() -> None:
    files = compacted().copy()
    del files[SNAPSHOT]
    message = r"0000000003\.log: byte 0: the log starts after entry 6 of a snapshot, but there is none"
    require_rejection(files, CorruptLogError, message)
    files = installed().copy()
    del files[snapshot_path(40)]
    message = r"0000000002\.log: byte 0: the log starts after entry 40 of a snapshot, but there is none"
    require_rejection(files, CorruptLogError, message)


def test_a_missing_snapshot_right_after_the_log_was_reset() -> None:
    """The previous segments still exist, but are obsolete."""
    disk, storage = three_batches()
    before = disk.copy()
    take_snapshot(storage, 40, 40)
    files = {FIRST_SEGMENT: before[FIRST_SEGMENT], NODE_FILE: before[NODE_FILE], SECOND_SEGMENT: b""}
    files[SECOND_SEGMENT] = disk.copy()[SECOND_SEGMENT]
    require_rejection(files, CorruptLogError, r"0000000002\.log: byte 0: the log starts after entry 40 of a snapshot")


def test_an_older_snapshot_than_the_log_needs() -> None:
    disk, storage = three_batches()
    take_snapshot(storage, 4)
    older = {snapshot_path(4): disk.copy()[snapshot_path(4)]}
    for sample, path, base in ((compacted(), SNAPSHOT, 6), (installed(), snapshot_path(40), 40)):
        files = sample.copy() | older
        del files[path]
        message = f"the log starts after entry {base} of a snapshot, but the one found is at 4"
        require_rejection(files, CorruptLogError, message)


def test_a_snapshot_that_contradicts_the_start_of_the_log() -> None:
    files = installed().copy()
    other = ScriptedDisk()
    storage = storage_on(other)
    storage.recover()
    take_snapshot(storage, 40, 39)
    files[snapshot_path(40)] = other.copy()[snapshot_path(40)]
    message = "the log starts after entry 40 of term 40, but the snapshot has it in term 39"
    require_rejection(files, CorruptLogError, message)


def test_a_snapshot_of_another_node() -> None:
    other = ScriptedDisk()
    storage = FileStorage(DATA, "raft-9", filesystem=other)
    storage.recover()
    take_snapshot(storage, 10, 10)
    require_rejection(compacted().copy() | {SNAPSHOT: other.copy()[SNAPSHOT]}, ForeignDirectoryError, "'raft-9'")


def test_a_snapshot_under_another_name() -> None:
    files = compacted().copy()
    files[snapshot_path(11)] = files.pop(SNAPSHOT)
    message = "byte 0: the file holds a snapshot up to entry 10; it was renamed"
    require_rejection(files, CorruptLogError, message)


def crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


@pytest.mark.parametrize("version", [1, 3])
def test_a_snapshot_of_another_format_version(version: int) -> None:
    header = bytearray(HEADER[:-4])
    header[8] = version
    content = bytes(header) + crc(header)
    files = compacted().copy()
    message = f"byte 8: the snapshot has format version {version}, this program reads 2"
    require_rejection(files | {SNAPSHOT: content + files[SNAPSHOT][len(content) :]}, StorageError, message)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"raft-0{", b"\xff\xfe\xfd\xfc\xfb\xfa{"), (b'{"voters"', b'{"wolves"'), (b'"voters":[[', b'"voters":{{')],
)
def test_an_invalid_header_with_a_right_checksum(old: bytes, new: bytes) -> None:
    header = HEADER[:-4].replace(old, new)
    assert header != HEADER[:-4]
    files = compacted().copy()
    content = header + crc(header) + files[SNAPSHOT][len(HEADER) :]
    require_rejection(files | {SNAPSHOT: content}, CorruptLogError, "byte 34: the header is invalid")


@pytest.mark.parametrize("is_older_damaged", [True, False])
def test_a_crash_before_the_older_snapshot_is_removed(is_older_damaged: bool) -> None:
    """The newer one is used, and the older one is removed unread."""
    disk, storage = three_batches()
    take_snapshot(storage, 4)
    older = disk.copy()[snapshot_path(4)]
    metadata = take_snapshot(storage, 6, 2)
    files = disk.copy() | {snapshot_path(4): older[:50] if is_older_damaged else older}
    disk = ScriptedDisk.holding(files)
    assert verify_directory(DATA, filesystem=disk).snapshot == metadata
    assert recover(disk).snapshot == metadata
    assert snapshot_path(4) not in disk.names
    damaged = files | {snapshot_path(6): files[snapshot_path(6)][:-1]}
    require_rejection(damaged, CorruptLogError, snapshot_path(6).name)


def test_obsolete_segments_are_removed_unread() -> None:
    disk = ScriptedDisk.holding(compacted().copy() | {FIRST_SEGMENT: b"?", SECOND_SEGMENT: b"", segment_path(0): b"?"})
    assert verify_directory(DATA, filesystem=disk).segments == 3
    assert recover(disk).base_index == 6
    assert sorted(path.name for path in disk.names if path.suffix == ".log") == [
        "0000000003.log", "0000000004.log", "0000000005.log",
    ]  # fmt: skip


def test_an_unfinished_snapshot_is_removed() -> None:
    disk = ScriptedDisk.holding(compacted().copy() | {DATA / f"{SNAPSHOT.name}.tmp": b"?"})
    assert recover(disk).snapshot.index == 10
    assert [path for path in disk.names if path.suffix == ".tmp"] == []


@pytest.mark.parametrize("sequence", [3, 4, 5])
def test_a_missing_segment_of_a_compacted_log(sequence: int) -> None:
    files = compacted().copy()
    del files[segment_path(sequence)]
    message = rf"{segment_path(sequence).name}: byte 0: the file is missing; segments 3 to 5 belong to the log"
    require_rejection(files, CorruptLogError, message)


def test_a_missing_node_file_of_a_compacted_log() -> None:
    for sample in (compacted, installed):
        files = sample().copy()
        del files[NODE_FILE]
        require_rejection(files, StorageError, r"node\.json: the file is missing, although the log beside it was used")
    files = {path: data for path, data in compacted().copy().items() if path == SNAPSHOT}
    require_rejection(files, StorageError, r"node\.json: the file is missing")


@pytest.mark.parametrize("oldest", [1, 2, 4, 5])
def test_an_outdated_node_file(oldest: int) -> None:
    """Segments before its oldest one are ignored; the rest must start at or below the snapshot."""
    files = compacted().copy()
    content = json.loads(files[NODE_FILE])
    del content["checksum"]
    content["oldest_segment"] = oldest
    checksum = zlib.crc32(json.dumps(content, sort_keys=True).encode())
    files[NODE_FILE] = json.dumps(content | {"checksum": f"{checksum:08x}"}).encode()
    message = {
        1: r"0000000001\.log: byte 0: the file is missing; segments 1 to 5",
        2: r"0000000002\.log: byte 0: the file is missing; segments 2 to 5",
        5: "the log starts after entry 12 of a snapshot, but the one found is at 10",
    }.get(oldest)
    if message:
        require_rejection(files, CorruptLogError, message)
    else:
        assert recover(ScriptedDisk.holding(files)).base_index == 9


def test_any_changed_byte_of_the_node_file_of_a_compacted_log() -> None:
    files = compacted().copy()
    content = files[NODE_FILE].strip()
    rng = random.Random(2)
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << rng.randrange(8)
        try:
            if json.loads(bytes(changed)) == json.loads(content):
                continue  # white space
        except ValueError:
            pass
        with pytest.raises(StorageError, match=r"node\.json"):
            recover(ScriptedDisk.holding(files | {NODE_FILE: bytes(changed)}))


def test_any_flipped_bit_of_the_oldest_segment_is_detected() -> None:
    """No previous segment attests its header any more."""
    files = compacted().copy()
    path = segment_path(3)
    end = len(files[path].rstrip(b"\0"))
    for position in range(end):
        content = bytearray(files[path])
        content[position] ^= 1 << position % 8
        with pytest.raises(CorruptLogError, match=path.name):
            recover(ScriptedDisk.holding(files | {path: bytes(content)}))


def test_a_log_of_another_history_after_the_oldest_segment() -> None:
    files = compacted().copy()
    other = ScriptedDisk()
    storage = storage_on(other, segment_bytes=1500)
    storage.recover()
    for index in range(1, 40):
        storage.append(HardState(index), [entry(index, index, b"y" * 200)])
    files[segment_path(4)] = other.copy()[segment_path(4)]
    require_rejection(files, CorruptLogError, r"0000000004\.log: byte 0: the segment follows one that ended at byte")


def test_a_first_segment_that_follows_another_one() -> None:
    disk = ScriptedDisk()
    storage_on(disk).recover()
    content = disk.copy()[FIRST_SEGMENT]
    header = SegmentHeader(1, 0, 0, False, 600, 7, "raft-0").encode()
    files = disk.copy() | {FIRST_SEGMENT: header + content[512:]}
    require_rejection(files, CorruptLogError, "the segment follows one that ended at byte 600")


@pytest.mark.parametrize("index", [38, 39, 40])
def test_an_entry_before_the_reset_in_a_log_that_was_reset(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft_pkg.storage.file.check_append", lambda *_: None)
    monkeypatch.setattr("raft_pkg.storage.file.LogTerms.append", lambda *_: None)
    disk, storage = three_batches()
    take_snapshot(storage, 40, 40)
    storage.append(None, entries(index, index, 41))
    storage.sync()
    storage.close()
    monkeypatch.undo()
    message = rf"0000000002\.log: byte \d+: entry {index} can't be appended to a log of entries 41 to 40"
    require_rejection(disk.copy(), CorruptLogError, message)


def test_the_checksum_covers_the_incarnation() -> None:
    files = compacted().copy()
    content = files[NODE_FILE].replace(str(INCARNATION).encode(), str(INCARNATION + 1).encode())
    require_rejection(
        files | {NODE_FILE: content}, CorruptLogError, r"node\.json: byte 0: .*does not match its checksum"
    )


def test_a_directory_instead_of_a_snapshot(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path, "raft-0")
    storage.recover()
    storage.close()
    (tmp_path / SNAPSHOT.name).mkdir()
    with pytest.raises(StorageError, match=rf"{SNAPSHOT.name}: cannot read the snapshot: Is a directory"):
        FileStorage(tmp_path, "raft-0").recover()
