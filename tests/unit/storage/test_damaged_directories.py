"""Unusable directories: each is rejected with file and reason, and left unchanged."""

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from samples import (
    DATA,
    FIRST_SEGMENT,
    NODE_FILE,
    SECOND_SEGMENT,
    changed,
    entries,
    entry,
    recover,
    require_rejection,
    segment_path,
    several_segments,
    storage_on,
    three_batches,
)
from scripted_disk import ScriptedDisk

from raft_pkg.core.types import HardState
from raft_pkg.errors import CorruptLogError, DirectoryInUseError, ForeignDirectoryError, StorageError
from raft_pkg.storage import FileStorage, verify_directory
from raft_pkg.storage._segment import SegmentHeader


@pytest.mark.parametrize("sequence", [1, 2, 3, 4])
def test_a_missing_segment(sequence: int) -> None:
    files = several_segments(4).copy()
    del files[segment_path(sequence)]
    require_rejection(
        files, CorruptLogError, rf"000000000{sequence}\.log: byte 0: the file is missing; segments 1 to 4"
    )


def test_all_segments_missing() -> None:
    files = several_segments(2).copy()
    require_rejection({NODE_FILE: files[NODE_FILE]}, CorruptLogError, "0000000001.log: byte 0: the file is missing")


def test_swapped_segments() -> None:
    files = several_segments(4).copy()
    files[segment_path(2)], files[segment_path(3)] = files[segment_path(3)], files[segment_path(2)]
    require_rejection(files, CorruptLogError, r"0000000002\.log: byte 0: the file holds segment 3")


def test_a_segment_of_another_history() -> None:
    files = several_segments(4).copy()
    disk = ScriptedDisk()
    storage = storage_on(disk, segment_bytes=1500)
    storage.recover()
    for index in range(1, 60):
        storage.append(None, [entry(index, 1, b"something else")])
        storage.sync()
    files[SECOND_SEGMENT] = disk.copy()[SECOND_SEGMENT]
    require_rejection(files, CorruptLogError, r"0000000002\.log: byte 0: the segment follows one that ended at byte")


def test_an_older_segment_that_lost_its_last_record() -> None:
    files = several_segments(3).copy()
    content = files[FIRST_SEGMENT]
    last_record = content.rindex(b"\xd3RLg")
    files[FIRST_SEGMENT] = content[:last_record].ljust(len(content), b"\0")
    require_rejection(files, CorruptLogError, r"0000000002\.log: byte 0: the segment follows one that ended at byte")


def with_header(**changes: object) -> Callable[[bytes], bytes]:
    header = SegmentHeader(2, 7, 7, False, 0, 0, "raft-0")._replace(**changes)  # type: ignore[arg-type]
    return lambda data: header.encode() + data[512:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: b"", "byte 0: the file ends within its header"),
        (lambda data: data[:511], "byte 511: the file ends within its header"),
        (lambda data: bytes(len(data)), "byte 0: the segment's header does not match"),
        (lambda data: b"X" + data[1:], "byte 0: the segment's header does not match"),
        (lambda data: data[:100] + b"X" + data[101:], "byte 0: the segment's header does not match"),
        (lambda data: data[:512], "byte 512: "),
        (lambda data: data[:512] + bytes(2000), "byte 512: "),
        (lambda data: data[:600], "byte .*: "),
    ],
)
@pytest.mark.parametrize("sequence", [1, 2])
def test_a_damaged_segment_header(sequence: int, change: Callable[[bytes], bytes], message: str) -> None:
    files = several_segments(2).copy()
    path = segment_path(sequence)
    require_rejection(files | {path: change(files[path])}, CorruptLogError, f"{path.name}: {message}")


def test_a_segment_with_a_wrong_base_index() -> None:
    files = several_segments(2).copy()
    original = files[SECOND_SEGMENT]
    end, checksum = (int.from_bytes(original[field], "little") for field in (slice(40, 48), slice(12, 16)))
    change = with_header(base_index=1000, previous_end=end, previous_checksum=checksum)
    require_rejection(
        files | {SECOND_SEGMENT: change(original)},
        CorruptLogError,
        "the segment continues after entry 1000 of term 7, but the previous one ends with",
    )


@pytest.mark.parametrize("version", [2, 4])
def test_a_log_of_another_format_version(version: int) -> None:
    files = several_segments(1).copy()
    content = bytearray(files[FIRST_SEGMENT])
    content[8] = version
    content[508:512] = crc(content[:508])
    message = f"format version {version}, this program reads 3; use the version of raft_pkg that wrote it"
    require_rejection(files | {FIRST_SEGMENT: bytes(content)}, StorageError, message)


def crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def test_an_identity_that_is_not_valid_utf_8() -> None:
    files = several_segments(1).copy()
    content = bytearray(files[FIRST_SEGMENT])
    content[content.index(b"raft-0")] = 0xFF
    content[508:512] = crc(content[:508])
    require_rejection(files | {FIRST_SEGMENT: bytes(content)}, CorruptLogError, "identity is not text")


def test_a_directory_of_another_node() -> None:
    disk, storage = three_batches()
    storage.close()
    for files in (disk.copy(), {path: data for path, data in disk.copy().items() if path != NODE_FILE}):
        other = ScriptedDisk.holding(files)
        with pytest.raises(ForeignDirectoryError, match="/data: belongs to node 'raft-0', not to 'raft-7'"):
            FileStorage(DATA, "raft-7", filesystem=other).recover()
        assert other.copy() | {DATA / "LOCK": b""} == files | {DATA / "LOCK": b""}


def test_a_segment_of_another_node() -> None:
    disk = ScriptedDisk()
    FileStorage(DATA, "raft-9", filesystem=disk).recover()
    files = several_segments(1).copy() | {FIRST_SEGMENT: disk.copy()[FIRST_SEGMENT]}
    require_rejection(files, ForeignDirectoryError, "'raft-9'")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"7", b"null", b"{}", b'{"format": 1}', b"\xff\xfe", b"[" * 100_000, b'{"checksum": "0"}'],
)
def test_an_unreadable_node_file(content: bytes) -> None:
    files = several_segments(2).copy()
    require_rejection(
        files | {NODE_FILE: content}, CorruptLogError, r"node\.json: byte 0: the file was not written by raft_pkg"
    )


def test_any_changed_byte_of_the_node_file() -> None:
    files = several_segments(2).copy()
    content = files[NODE_FILE]
    for position in range(len(content)):
        for mask in (1, 2, 0x10, 0x80):
            changed_content = bytearray(content)
            changed_content[position] ^= mask
            if json_or_none(bytes(changed_content)) == json.loads(content):
                continue  # white space
            disk = ScriptedDisk.holding(files | {NODE_FILE: bytes(changed_content)})
            with pytest.raises(StorageError, match=r"node\.json"):
                recover(disk)


def json_or_none(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return None


@pytest.mark.parametrize("version", [2, 4])
def test_a_node_file_of_another_format_version(version: int) -> None:
    content = {
        "format": version,
        "node_id": "raft-0",
        "incarnation": 1,
        "oldest_segment": 1,
        "synced_segment": 1,
        "synced_offset": 1,
    }
    checksum = f"{int.from_bytes(crc(json.dumps(content, sort_keys=True).encode()), 'little'):08x}"
    files = several_segments(2).copy()
    encoded = json.dumps(content | {"checksum": checksum}).encode()
    require_rejection(
        files | {NODE_FILE: encoded}, StorageError, rf"node\.json: has format version {version}, this program reads 3"
    )


def test_a_missing_node_file_of_a_used_log() -> None:
    for disk in (several_segments(2), three_batches()[0]):
        files = disk.copy()
        del files[NODE_FILE]
        require_rejection(files, StorageError, r"node\.json: the file is missing")


def test_a_missing_node_file_of_a_new_log_is_created() -> None:
    """A crash can come between the creation of the two files."""
    disk = ScriptedDisk()
    storage_on(disk).recover()
    files = disk.copy()
    del files[NODE_FILE]
    disk = ScriptedDisk.holding(files)
    assert recover(disk).entries == []
    assert disk.copy()[NODE_FILE]


def test_a_file_over_the_size_limit_of_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft_pkg.storage._segment.SEGMENT_BYTES_MAX", 1000)
    message = "byte 1000: the file exceeds the size limit of a segment"
    require_rejection(several_segments(1).copy(), CorruptLogError, message)


def test_two_processes_on_one_directory(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from raft_pkg.storage import FileStorage;"
        "storage = FileStorage(pathlib.Path(sys.argv[1]), 'raft-0'); storage.recover(); print('ready', flush=True);"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
            with pytest.raises(DirectoryInUseError, match=rf"{tmp_path}: in use by process {process.pid};"):
                FileStorage(tmp_path, "raft-0").recover()
            assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
            assert verify_directory(tmp_path).node_id == "raft-0"
        finally:
            process.kill()
    storage = FileStorage(tmp_path, "raft-0")
    assert storage.recover().entries == []
    storage.close()


def test_two_storages_in_one_process() -> None:
    disk, storage = three_batches()
    with pytest.raises(DirectoryInUseError, match="in use by process 4711"):
        storage_on(disk).recover()
    storage.append(None, entries(8, 8, 2))
    storage.sync()
    storage.close()
    assert len(storage_on(disk).recover().entries) == 8


@pytest.mark.parametrize("content", [b"", b"\xff\n"])
def test_a_lock_without_a_process_id(content: bytes) -> None:
    disk, _ = three_batches()
    disk.names[DATA / "LOCK"].content[:] = content
    with pytest.raises(DirectoryInUseError, match="its id is not known"):
        storage_on(disk).recover()


def test_a_rejected_directory_is_unlocked(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path, "raft-1")
    storage.recover()
    storage.close()
    refused = FileStorage(tmp_path, "raft-0")
    with pytest.raises(ForeignDirectoryError):
        refused.recover()
    storage = FileStorage(tmp_path, "raft-1")
    storage.recover()
    storage.close()


def test_a_file_instead_of_the_directory(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("precious")
    with pytest.raises(
        StorageError, match=rf"{path}.*: cannot lock the data directory: Not a directory; name a directory"
    ):
        FileStorage(path, "raft-0").recover()
    with pytest.raises(StorageError, match=rf"{path}/deeper: cannot create the data directory: Not a directory"):
        FileStorage(path / "deeper", "raft-0").recover()
    assert path.read_text() == "precious"


def test_inspection_without_a_directory_or_a_log(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot list the data directory: No such file"):
        verify_directory(tmp_path / "nothing")
    with pytest.raises(StorageError, match="holds no log"):
        verify_directory(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(
    os.geteuid() == 0, reason="nothing is forbidden to root; see the fault tests for the same by injection"
)
def test_a_directory_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="LOCK: cannot lock the data directory: Permission denied; let this"):
        FileStorage(tmp_path, "raft-0").recover()


def test_a_directory_instead_of_a_segment(tmp_path: Path) -> None:
    (tmp_path / "0000000001.log").mkdir()
    with pytest.raises(StorageError, match=r"0000000001\.log: cannot read the file: Is a directory"):
        FileStorage(tmp_path, "raft-0").recover()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([HardState(3, "raft-1"), HardState(2, None)], "the term would decrease from 3 to 2"),
        ([HardState(3, "raft-1"), HardState(3, "raft-2")], "the vote in term 3 would change"),
        ([entry(2)], "entry 2 can't be appended to a log of entries 1 to 0"),
        ([entry(1), entry(3)], "entry 3 can't be appended"),
        ([entry(0)], "entry 0 can't be appended"),
    ],
)
def test_valid_records_that_contradict_each_other(values: list, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A faulty program wrote them: well-formed records may be invalid."""
    monkeypatch.setattr("raft_pkg.storage.file.check_append", lambda *_: None)
    monkeypatch.setattr("raft_pkg.storage.file.LogTerms.append", lambda *_: None)
    disk = ScriptedDisk()
    storage = storage_on(disk)
    storage.recover()
    for value in values:
        storage.append(*((value, []) if isinstance(value, HardState) else (None, [value])))
        storage.sync()
    storage.close()
    monkeypatch.undo()
    require_rejection(disk.copy(), CorruptLogError, message)


def test_a_changed_byte_of_an_older_segment_is_detected() -> None:
    disk = several_segments(2)
    damaged = changed(disk, FIRST_SEGMENT, lambda data: data[:700] + b"\xee" + data[701:])
    require_rejection(damaged.copy(), CorruptLogError, "0000000001.log: byte")
