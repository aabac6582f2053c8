"""Snapshots and compacted logs that can't be used as they are: refused with a name and a reason, left as they were."""

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
    require_refusal,
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


def test_the_samples_are_sound() -> None:
    report = verify_directory(DATA, filesystem=compacted())
    assert (report.base_index, report.last_index, report.snapshot.index, report.segments) == (6, 13, 10, 3)
    assert len(compacted().copy()[SNAPSHOT]) == len(HEADER) + DATA_BYTES + 20
    report = verify_directory(DATA, filesystem=installed())
    assert (report.base_index, report.last_index, report.snapshot.index, report.segments) == (40, 41, 40, 1)


@pytest.mark.parametrize("sample", [compacted, installed])
def test_any_flipped_bit_of_a_snapshot(sample: Callable[[], ScriptedDisk]) -> None:
    """Also when the log still has all that the snapshot replaces, which is so in neither of the samples."""
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


def test_a_damaged_snapshot_before_which_everything_is_in_the_log() -> None:
    """The log could stand for it; a disk that loses bits is still not to be trusted."""
    disk, storage = three_batches()
    take_snapshot(storage, 4)
    files = disk.copy()
    path = snapshot_path(4)
    require_refusal(files | {path: files[path][:-1] + b"?"}, CorruptLogError, rf"{path.name}: byte \d+: .*trailer")


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
            r"the data has 1033 bytes instead of the 1032 written",
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
    require_refusal(files | {SNAPSHOT: change(files[SNAPSHOT])}, CorruptLogError, f"{SNAPSHOT.name}: {message}")


def test_a_snapshot_cut_at_any_byte() -> None:
    files = compacted().copy()
    for size in range(len(files[SNAPSHOT])):
        with pytest.raises(CorruptLogError, match=SNAPSHOT.name):
            recover(ScriptedDisk.holding(files | {SNAPSHOT: files[SNAPSHOT][:size]}))


def test_a_missing_snapshot() -> None:
    files = compacted().copy()
    del files[SNAPSHOT]
    message = r"0000000003\.log: byte 0: the log starts after entry 6 of a snapshot, but there is none"
    require_refusal(files, CorruptLogError, message)
    files = installed().copy()
    del files[snapshot_path(40)]
    message = r"0000000002\.log: byte 0: the log starts after entry 40 of a snapshot, but there is none"
    require_refusal(files, CorruptLogError, message)


def test_a_missing_snapshot_after_which_the_log_was_just_begun_anew() -> None:
    """The segments before are still there, but what they hold is void."""
    disk, storage = three_batches()
    before = disk.copy()
    take_snapshot(storage, 40, 40)
    files = {FIRST_SEGMENT: before[FIRST_SEGMENT], NODE_FILE: before[NODE_FILE], SECOND_SEGMENT: b""}
    files[SECOND_SEGMENT] = disk.copy()[SECOND_SEGMENT]
    require_refusal(files, CorruptLogError, r"0000000002\.log: byte 0: the log starts after entry 40 of a snapshot")


def test_an_older_snapshot_than_the_log_needs() -> None:
    disk, storage = three_batches()
    take_snapshot(storage, 4)
    older = {snapshot_path(4): disk.copy()[snapshot_path(4)]}
    for sample, path, base in ((compacted(), SNAPSHOT, 6), (installed(), snapshot_path(40), 40)):
        files = sample.copy() | older
        del files[path]
        message = f"the log starts after entry {base} of a snapshot, but the one found is at 4"
        require_refusal(files, CorruptLogError, message)


def test_a_snapshot_that_contradicts_the_beginning_of_the_log() -> None:
    files = installed().copy()
    other = ScriptedDisk()
    storage = storage_on(other)
    storage.recover()
    take_snapshot(storage, 40, 39)
    files[snapshot_path(40)] = other.copy()[snapshot_path(40)]
    message = "the log starts after entry 40 of term 40, but the snapshot has it in term 39"
    require_refusal(files, CorruptLogError, message)


def test_a_snapshot_of_another_node() -> None:
    other = ScriptedDisk()
    storage = FileStorage(DATA, "raft-9", filesystem=other)
    storage.recover()
    take_snapshot(storage, 10, 10)
    require_refusal(compacted().copy() | {SNAPSHOT: other.copy()[SNAPSHOT]}, ForeignDirectoryError, "'raft-9'")


def test_a_snapshot_under_another_name() -> None:
    files = compacted().copy()
    files[snapshot_path(11)] = files.pop(SNAPSHOT)
    message = "byte 0: the file holds a snapshot up to entry 10; it was renamed"
    require_refusal(files, CorruptLogError, message)


def crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


@pytest.mark.parametrize("version", [1, 3])
def test_a_snapshot_of_another_format_version(version: int) -> None:
    header = bytearray(HEADER[:-4])
    header[8] = version
    content = bytes(header) + crc(header)
    files = compacted().copy()
    message = f"byte 8: the snapshot has format version {version}, this program reads 2"
    require_refusal(files | {SNAPSHOT: content + files[SNAPSHOT][len(content) :]}, StorageError, message)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"raft-0{", b"\xff\xfe\xfd\xfc\xfb\xfa{"), (b'{"voters"', b'{"wolves"'), (b'"voters":[[', b'"voters":{{')],
)
def test_a_header_with_a_right_checksum_that_can_not_be(old: bytes, new: bytes) -> None:
    header = HEADER[:-4].replace(old, new)
    assert header != HEADER[:-4]
    files = compacted().copy()
    content = header + crc(header) + files[SNAPSHOT][len(HEADER) :]
    require_refusal(files | {SNAPSHOT: content}, CorruptLogError, "byte 34: the header is invalid")


@pytest.mark.parametrize("is_older_damaged", [True, False])
def test_a_crash_between_the_names_of_two_snapshots(is_older_damaged: bool) -> None:
    """The newer one counts, and the older one is removed, whatever is in it."""
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
    require_refusal(damaged, CorruptLogError, snapshot_path(6).name)


def test_what_a_crash_left_of_compacted_segments_is_removed_unread() -> None:
    disk = ScriptedDisk.holding(compacted().copy() | {FIRST_SEGMENT: b"?", SECOND_SEGMENT: b"", segment_path(0): b"?"})
    assert verify_directory(DATA, filesystem=disk).segments == 3
    assert recover(disk).base_index == 6
    assert sorted(path.name for path in disk.names if path.suffix == ".log") == [
        "0000000003.log", "0000000004.log", "0000000005.log",
    ]  # fmt: skip


def test_half_a_snapshot_is_removed() -> None:
    disk = ScriptedDisk.holding(compacted().copy() | {DATA / f"{SNAPSHOT.name}.tmp": b"?"})
    assert recover(disk).snapshot.index == 10
    assert [path for path in disk.names if path.suffix == ".tmp"] == []


@pytest.mark.parametrize("sequence", [3, 4, 5])
def test_a_missing_segment_of_a_compacted_log(sequence: int) -> None:
    files = compacted().copy()
    del files[segment_path(sequence)]
    message = rf"{segment_path(sequence).name}: byte 0: the file is missing; segments 3 to 5 belong to the log"
    require_refusal(files, CorruptLogError, message)


def test_a_missing_node_file_beside_a_compacted_log() -> None:
    for sample in (compacted, installed):
        files = sample().copy()
        del files[NODE_FILE]
        require_refusal(files, StorageError, r"node\.json: the file is missing, although the log beside it was used")
    files = {path: data for path, data in compacted().copy().items() if path == SNAPSHOT}
    require_refusal(files, StorageError, r"node\.json: the file is missing")


@pytest.mark.parametrize("oldest", [1, 2, 4, 5])
def test_a_node_file_of_another_time(oldest: int) -> None:
    """Segments that it no longer names are as good as removed; the rest must still begin below the snapshot."""
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
        require_refusal(files, CorruptLogError, message)
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


def test_any_flipped_bit_of_the_oldest_segment_is_noticed() -> None:
    """Nothing before it vouches for its header any more."""
    files = compacted().copy()
    path = segment_path(3)
    end = len(files[path].rstrip(b"\0"))
    for position in range(end):
        content = bytearray(files[path])
        content[position] ^= 1 << position % 8
        with pytest.raises(CorruptLogError, match=path.name):
            recover(ScriptedDisk.holding(files | {path: bytes(content)}))


def test_a_log_of_another_history_behind_the_oldest_segment() -> None:
    files = compacted().copy()
    other = ScriptedDisk()
    storage = storage_on(other, segment_bytes=1500)
    storage.recover()
    for index in range(1, 40):
        storage.append(HardState(index), [entry(index, index, b"y" * 200)])
    files[segment_path(4)] = other.copy()[segment_path(4)]
    require_refusal(files, CorruptLogError, r"0000000004\.log: byte 0: the segment follows one that ended at byte")


def test_a_first_segment_that_follows_another_one() -> None:
    disk = ScriptedDisk()
    storage_on(disk).recover()
    content = disk.copy()[FIRST_SEGMENT]
    header = SegmentHeader(1, 0, 0, False, 600, 7, "raft-0").encode()
    files = disk.copy() | {FIRST_SEGMENT: header + content[512:]}
    require_refusal(files, CorruptLogError, "the segment follows one that ended at byte 600")


@pytest.mark.parametrize("index", [38, 39, 40])
def test_an_entry_that_a_snapshot_replaces_in_a_log_that_begins_anew(
    index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raft_pkg.storage.file.check_append", lambda *_: None)
    monkeypatch.setattr("raft_pkg.storage.file.LogTerms.append", lambda *_: None)
    disk, storage = three_batches()
    take_snapshot(storage, 40, 40)
    storage.append(None, entries(index, index, 41))
    storage.sync()
    storage.close()
    monkeypatch.undo()
    message = rf"0000000002\.log: byte \d+: entry {index} can't be appended to a log of entries 41 to 40"
    require_refusal(disk.copy(), CorruptLogError, message)


def test_an_incarnation_is_part_of_what_is_checked() -> None:
    files = compacted().copy()
    content = files[NODE_FILE].replace(str(INCARNATION).encode(), str(INCARNATION + 1).encode())
    require_refusal(files | {NODE_FILE: content}, CorruptLogError, r"node\.json: byte 0: .*does not match its checksum")


def test_a_directory_in_the_place_of_a_snapshot(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path, "raft-0")
    storage.recover()
    storage.close()
    (tmp_path / SNAPSHOT.name).mkdir()
    with pytest.raises(StorageError, match=rf"{SNAPSHOT.name}: cannot read the snapshot: Is a directory"):
        FileStorage(tmp_path, "raft-0").recover()
