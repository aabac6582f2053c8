"""Failing calls, short reads and writes, and the order of successful calls."""

import errno
import os
from pathlib import Path

import pytest
from samples import (
    DATA,
    MEMBERS,
    entries,
    entry,
    recover,
    recovered,
    segment_path,
    snapshot_path,
    storage_on,
    take_snapshot,
    three_batches,
)
from scripted_disk import ScriptedDisk

from raft_pkg.core.types import HardState
from raft_pkg.errors import StorageError
from raft_pkg.storage import FileStorage, Filesystem

LOG = "0000000001.log"


def fail(disk: ScriptedDisk, operation: str, number: int, name: str = "") -> None:
    """Make an operation (on a file of that name, if given) fail once."""
    failures = iter([OSError(number, os.strerror(number))])

    def before(begun: str, path: Path) -> None:
        if begun == operation and name in (path.name, "") and (failure := next(failures, None)):
            raise failure

    disk.before = before


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "free space on its volume"), (errno.EIO, "the device failed"), (errno.EPROTO, "")],
)
@pytest.mark.parametrize(("operation", "action"), [("write", "write to the log"), ("sync_data", "sync the log")])
def test_nothing_is_retried_after_a_failure(operation: str, action: str, number: int, advice: str) -> None:
    disk, storage = three_batches()
    fail(disk, operation, number)
    message = rf"^/data/0000000001\.log: cannot {action}: {os.strerror(number)}.*{advice}"
    if operation == "sync_data":
        storage.append(None, entries(8, 8, 2))
        with pytest.raises(StorageError, match=message):
            storage.sync()
    else:
        with pytest.raises(StorageError, match=message):
            storage.append(None, entries(8, 8, 2))
    disk.operations.clear()
    for _ in range(2):
        with pytest.raises(StorageError, match=rf"{message}.*unusable since then"):
            storage.append(None, entries(9, 9, 2))
        with pytest.raises(StorageError, match=message):
            storage.sync()
    storage.close()
    assert disk.operations == [], "after a failed sync the next one may succeed without having written anything"


def test_recovery_does_not_read_the_page_cache_after_a_failed_sync() -> None:
    """The next sync would report it durable, and a power loss would lose it."""
    disk, storage = three_batches()
    storage.append(HardState(3, "raft-1"), entries(8, 8, 3))
    fail(disk, "sync_data", errno.EIO)
    with pytest.raises(StorageError, match="the device failed"):
        storage.sync()
    found = recover(disk)
    disk.cut_power(lambda _count: 0)
    assert recover(disk) == found
    assert len(found.entries) == 7


@pytest.mark.parametrize("operation", ["create", "write", "sync_file", "rename", "sync_directory", "sync_data"])
def test_a_failure_while_a_segment_is_added(operation: str) -> None:
    disk = ScriptedDisk()
    storage = storage_on(disk, segment_bytes=1000)
    storage.recover()
    large = entry(1, 1, b"x" * 1000)
    storage.append(None, [large])
    if operation != "sync_data":
        storage.sync()
    fail(disk, operation, errno.ENOSPC)
    with pytest.raises(StorageError, match="No space left on device"):
        storage.append(None, [entry(2)])
    with pytest.raises(StorageError, match="unusable since then"):
        storage.append(None, [entry(2)])
    storage.close()
    assert recover(disk).entries == ([] if operation == "sync_data" else [large])
    assert not [path for path in disk.names if path.suffix == ".tmp"]


@pytest.mark.parametrize(
    "operation", ["make_directory", "lock", "create", "write", "sync_file", "rename", "sync_directory"]
)
def test_a_failure_while_a_directory_is_created(operation: str) -> None:
    disk = ScriptedDisk()
    storage = storage_on(disk)
    fail(disk, operation, errno.EROFS)
    with pytest.raises(StorageError, match=r"/data.*Read-only file system; mount its volume for writing"):
        storage.recover()
    with pytest.raises(StorageError):
        storage.append(None, [entry(1)])
    assert storage_on(disk).recover() == recovered(HardState(), [], 0), "the lock was let go of"


@pytest.mark.parametrize(
    ("operation", "name"),
    [("lock", "LOCK"), ("read", "node.json"), ("read", LOG), ("open", LOG), ("create", "node.json.tmp")],
)
def test_files_without_permission(operation: str, name: str) -> None:
    disk, _ = three_batches()
    disk.kill_process()
    fail(disk, operation, errno.EACCES, name)
    with pytest.raises(StorageError, match=r"/data.*Permission denied; let this process's user read and write"):
        storage_on(disk).recover()


@pytest.mark.parametrize("operation", ["read", "open", "truncate", "sync_file", "sync_directory"])
def test_a_failure_during_recovery(operation: str) -> None:
    disk, storage = three_batches()
    storage.append(None, entries(8, 9, 2))
    end = len(disk.copy()[segment_path(1)].rstrip(b"\0"))
    del disk.names[segment_path(1)].content[end - 1 :]
    disk.kill_process()
    fail(disk, operation, errno.EIO)
    with pytest.raises(StorageError, match="Input/output error; the device failed"):
        storage_on(disk).recover()
    assert len(recover(disk).entries) == (7 if operation == "sync_file" else 8)


def test_a_failure_to_record_the_end_on_closing_is_reported_and_harmless() -> None:
    disk, storage = three_batches()
    fail(disk, "rename", errno.ENOSPC)
    with pytest.raises(StorageError, match=r"node\.json: cannot record the end of the log: No space left"):
        storage.close()
    storage.close()
    assert len(storage_on(disk).recover().entries) == 7


@pytest.mark.parametrize("at_most", [1, 7, 100])
def test_short_reads_are_completed(at_most: int) -> None:
    disk, storage = three_batches()
    data = bytes(range(256)) * 3
    metadata = take_snapshot(storage, 7, 2, data)
    storage.close()
    disk.accept_reading = lambda size: min(size, at_most)
    storage = storage_on(disk)
    assert storage.recover().snapshot == metadata
    assert storage.read_snapshot(10, 500) == data[10:510]


@pytest.mark.parametrize("at_most", [1, 7, 100])
def test_short_writes_are_completed(at_most: int) -> None:
    disk, storage = three_batches()
    disk.accept = lambda size: min(size, at_most)
    storage.append(HardState(3), entries(8, 12, 3))
    storage.sync()
    assert recover(disk).entries[7:] == entries(8, 12, 3)


def test_a_write_that_writes_nothing_fails() -> None:
    disk, storage = three_batches()
    disk.accept = lambda _size: 0
    with pytest.raises(StorageError, match="wrote nothing"):
        storage.append(None, entries(8, 8, 2))


def test_a_full_disk_in_the_middle_of_a_write() -> None:
    disk, storage = three_batches()
    disk.accept = lambda size: size // 2
    writes = iter(range(1))

    def before(operation: str, _path: Path) -> None:
        if operation == "write" and next(writes, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    disk.before = before
    with pytest.raises(StorageError, match="No space left"):
        storage.append(None, [entry(8, 2, b"x" * 3000)])
    found = recover(disk)
    assert (len(found.entries), found.torn_bytes > 1000) == (7, True)


SNAPSHOT = snapshot_path(7)
TEMPORARY = f"{SNAPSHOT.name}.tmp"


def take_and_compact(storage: FileStorage) -> None:
    take_snapshot(storage, 7, 7)
    storage.compact(7)


@pytest.mark.parametrize(
    ("operation", "name", "message", "is_taken"),
    [
        ("remove", TEMPORARY, "cannot begin a snapshot", False),
        ("create", TEMPORARY, "cannot begin a snapshot", False),
        ("write", TEMPORARY, "cannot begin a snapshot", False),
        ("sync_data", TEMPORARY, "cannot write the snapshot", False),
        ("sync_file", TEMPORARY, "cannot commit the snapshot", False),
        ("rename", SNAPSHOT.name, "cannot commit the snapshot", False),
        ("remove", snapshot_path(3).name, "cannot commit the snapshot", True),
        ("create", "node.json.tmp", "cannot compact the log", True),
        ("sync_file", "node.json.tmp", "cannot compact the log", True),
        ("rename", "node.json", "cannot compact the log", True),
        ("remove", LOG, "cannot compact the log", True),
    ],
)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failure_while_a_snapshot_is_taken(
    operation: str, name: str, message: str, is_taken: bool, number: int
) -> None:
    """Nothing is retried, and the old or the new state is recovered."""
    disk = ScriptedDisk()
    storage = storage_on(disk, segment_bytes=1500)
    storage.recover()
    log = [entry(index, index, b"x" * 200) for index in range(1, 11)]
    for value in log:
        storage.append(HardState(value.index), [value])
    take_snapshot(storage, 3, 3)
    fail(disk, operation, number, name)
    with pytest.raises(StorageError, match=rf"{message}: {os.strerror(number)}"):
        take_and_compact(storage)
    disk.operations.clear()
    for call in (lambda: storage.append(None, [entry(11, 11)]), storage.sync, lambda: storage.read_snapshot(0, 1)):
        with pytest.raises(StorageError, match="unusable since then"):
            call()
    with pytest.raises(StorageError, match="unusable since then"):
        storage.compact(1)
    with pytest.raises(StorageError, match="unusable since then"):
        storage.begin_snapshot(9, 9, MEMBERS)
    storage.close()
    assert [done for done in disk.operations if done != ("remove", TEMPORARY)] == []
    found = recover(disk)
    assert found.snapshot.index == (7 if is_taken else 3)
    assert found.entries == log[found.base_index :]
    assert [path for path in disk.names if path.suffix == ".tmp"] == []


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ("create", "0000000002.log.tmp"),
        ("write", "0000000002.log.tmp"),
        ("sync_file", "0000000002.log.tmp"),
        ("rename", "0000000002.log"),
        ("close", LOG),
        ("create", "node.json.tmp"),
        ("rename", "node.json"),
        ("remove", LOG),
    ],
)
def test_a_failure_while_a_log_is_reset(operation: str, name: str) -> None:
    """The snapshot has been renamed by then: it takes effect although the call fails. Obsolete files are removed."""
    disk, storage = three_batches()
    storage.append(None, [entry(8, 2)])
    writer = storage.begin_snapshot(40, 40, MEMBERS)
    writer.write(b"installed")
    fail(disk, operation, errno.EIO, name)
    with pytest.raises(StorageError, match="cannot commit the snapshot: Input/output error; the device failed"):
        writer.commit()
    with pytest.raises(StorageError, match="unusable since then"):
        writer.commit()
    writer.discard()
    found = recover(disk)
    assert (found.snapshot.index, found.base_index, found.entries) == (40, 40, [])
    assert [path.name for path in disk.names if path.suffix == ".log"] == ["0000000002.log"]


def test_a_snapshot_is_not_committed_when_the_log_cannot_be_synced() -> None:
    disk, storage = three_batches()
    storage.append(None, [entry(8, 2)])
    writer = storage.begin_snapshot(40, 40, MEMBERS)
    fail(disk, "sync_data", errno.EIO, LOG)
    with pytest.raises(StorageError, match="cannot sync the log: Input/output error"):
        writer.commit()
    writer.discard()
    found = recover(disk)
    assert (found.snapshot, len(found.entries)) == (None, 7)


@pytest.mark.parametrize(("operation", "name"), [("open", SNAPSHOT.name), ("read", SNAPSHOT.name)])
def test_an_unreadable_snapshot(operation: str, name: str) -> None:
    disk, storage = three_batches()
    take_snapshot(storage, 7, 2)
    fail(disk, operation, errno.EIO, name)
    with pytest.raises(StorageError, match=rf"{name}: cannot read the snapshot: Input/output error"):
        storage.read_snapshot(0, 10)
    with pytest.raises(StorageError, match="unusable since then"):
        storage.sync()
    disk.kill_process()
    fail(disk, operation, errno.EIO, name)
    with pytest.raises(StorageError, match=rf"{name}: cannot read the snapshot: Input/output error"):
        storage_on(disk).recover()
    assert recover(disk).snapshot.index == 7


def test_a_snapshot_that_is_truncated_while_it_is_read() -> None:
    disk, storage = three_batches()
    take_snapshot(storage, 7, 2, b"x" * 1000)
    del disk.names[SNAPSHOT].content[500:]
    with pytest.raises(StorageError, match="reached the end of the file"):
        storage.read_snapshot(0, 1000)


@pytest.mark.parametrize("operation", ["remove", "close"])
def test_a_snapshot_that_cannot_be_removed_is_abandoned(operation: str) -> None:
    disk, storage = three_batches()
    writer = storage.begin_snapshot(7, 2, MEMBERS)
    fail(disk, operation, errno.EIO, TEMPORARY)
    writer.discard()
    storage.append(None, [entry(8, 2)])
    storage.sync()
    metadata = take_snapshot(storage, 7, 2)
    found = recover(disk)
    assert (found.snapshot, len(found.entries)) == (metadata, 8)


def test_a_full_disk_while_a_snapshot_is_written_keeps_the_previous_one() -> None:
    disk, storage = three_batches()
    metadata = take_snapshot(storage, 3)
    writer = storage.begin_snapshot(7, 2, MEMBERS)
    writer.write(b"fits")
    fail(disk, "write", errno.ENOSPC, TEMPORARY)
    with pytest.raises(StorageError, match=r"cannot write the snapshot: No space left on device; free space"):
        writer.write(b"does not")
    writer.discard()
    assert [path for path in disk.names if path.suffix == ".tmp"] == []
    assert recover(disk).snapshot == metadata


@pytest.mark.parametrize("operation", ["create", "sync_file", "rename", "sync_directory"])
def test_a_recovery_that_fails_before_the_incarnation_is_durable_draws_a_new_one(operation: str) -> None:
    disk = ScriptedDisk()
    drawn = iter([5, 6])
    fail(disk, operation, errno.EIO, "data" if operation == "sync_directory" else "node.json.tmp")
    if operation == "rename":
        fail(disk, operation, errno.EIO, "node.json")
    with pytest.raises(StorageError):
        storage_on(disk, new_incarnation=lambda: next(drawn)).recover()
    disk.cut_power(lambda _count: 0)
    first = storage_on(disk, new_incarnation=lambda: next(drawn))
    incarnation = first.recover().incarnation
    disk.cut_power(lambda _count: 0)
    assert recover(disk).incarnation == incarnation == 6


def test_a_new_log_is_durable_before_it_is_used() -> None:
    disk = ScriptedDisk()
    FileStorage(Path("/var/data"), "raft-0", filesystem=disk).recover()
    assert disk.operations == [
        ("make_directory", "data"),
        ("make_directory", "var"),
        ("sync_directory", ""),
        ("make_directory", "data"),
        ("sync_directory", "var"),
        ("lock", "LOCK"),
        ("sync_directory", "var"),
        *atomically(LOG),
        *atomically("node.json", "data"),
    ]


def atomically(name: str, directory: str = "data") -> list[tuple[str, str]]:
    """Return the operations that create a file durably and atomically."""
    temporary = f"{name}.tmp"
    return [
        ("create", temporary),
        ("write", temporary),
        ("sync_file", temporary),
        ("rename", name),
        ("sync_directory", directory),
    ]


def test_a_segment_is_added_after_the_previous_one_is_synced() -> None:
    disk = ScriptedDisk()
    storage = storage_on(disk, segment_bytes=1000)
    storage.recover()
    storage.append(None, [entry(1, 1, b"x" * 1000)])
    disk.operations.clear()
    storage.append(None, [entry(2)])
    storage.sync()
    assert disk.operations == [
        ("sync_data", LOG),
        *atomically("0000000002.log"),
        *atomically("node.json"),
        ("write", "0000000002.log"),
        ("sync_data", "0000000002.log"),
    ]


def test_the_parent_need_not_be_readable() -> None:
    disk = ScriptedDisk.holding({DATA / "LOCK": b""})
    fail(disk, "sync_directory", errno.EACCES, name="")
    assert storage_on(disk).recover().entries == []


class RecordingFilesystem(Filesystem):
    """The real filesystem, which records the order of its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def write(self, descriptor, buffers, offset):
        self.calls.append("write")
        return super().write(descriptor, buffers, offset)

    def sync_data(self, descriptor):
        self.calls.append("sync")
        super().sync_data(descriptor)


def test_order_of_writes_and_syncs_of_real_files(tmp_path: Path) -> None:
    filesystem = RecordingFilesystem()
    storage = FileStorage(tmp_path, "raft-0", filesystem=filesystem)
    storage.recover()
    filesystem.calls.clear()
    for index in (1, 2):
        storage.append(None, [entry(index)])
        filesystem.calls.append("appended")
        storage.sync()
        filesystem.calls.append("synced")
    storage.close()
    assert filesystem.calls[:8] == ["write", "appended", "sync", "synced"] * 2


def test_real_files_are_truncated_and_removed(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path, "raft-0")
    storage.recover()
    storage.append(None, entries(1, 2))
    storage.sync()
    log = tmp_path / LOG
    copy = log.read_bytes().rstrip(b"\0")
    (tmp_path / "0000000002.log.tmp").write_bytes(b"half a segment")
    storage.close()
    (tmp_path / "node.json").unlink()
    FileStorage(tmp_path / "new", "raft-0").recover()
    (tmp_path / "new" / "node.json").rename(tmp_path / "node.json")
    log.write_bytes(copy[:-1])
    found = FileStorage(tmp_path, "raft-0").recover()
    assert found.entries == entries(1, 1)
    assert log.stat().st_size == len(copy) - found.torn_bytes - 1
    assert not (tmp_path / "0000000002.log.tmp").exists()


def test_more_buffers_than_one_call_accepts(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        assert Filesystem().write(descriptor, [b"x"] * 3000, 0) == 1024
    finally:
        os.close(descriptor)
