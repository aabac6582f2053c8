"""Sample logs and helpers of the storage tests."""

from collections.abc import Callable
from pathlib import Path

import pytest
from scripted_disk import ScriptedDisk

from raft_pkg.core.configuration import Configuration, Member
from raft_pkg.core.types import Entry, EntryKind, HardState, SnapshotMetadata
from raft_pkg.errors import StorageError
from raft_pkg.storage import FileStorage, Recovered, Storage, verify_directory

DATA = Path("/data")
FIRST_SEGMENT = DATA / "0000000001.log"
SECOND_SEGMENT = DATA / "0000000002.log"
NODE_FILE = DATA / "node.json"
INCARNATION = 0x1122334455667788
MEMBERS = Configuration(
    voters=(Member("raft-0", "raft-0:6000", INCARNATION), Member("raft-1", "raft-1:6000", 77)),
    learners=(Member("Knoten-ß", "[::1]:6000", 3),),
)


def segment_path(sequence: int) -> Path:
    return DATA / f"{sequence:010d}.log"


def entry(index: int, term: int = 1, data: bytes | None = None) -> Entry:
    return Entry(index, term, EntryKind.COMMANDS, f"command {index} of {term}".encode() if data is None else data)


def entries(first: int, last: int, term: int = 1, data: bytes | None = None) -> list[Entry]:
    return [entry(index, term, data) for index in range(first, last + 1)]


def snapshot_path(index: int) -> Path:
    return DATA / f"{index:020d}.snapshot"


def recovered(
    hard_state: HardState,
    log: list[Entry],
    torn_bytes: int,
    base: tuple[int, int] = (0, 0),
    snapshot: SnapshotMetadata | None = None,
) -> Recovered:
    return Recovered(hard_state, log, torn_bytes, INCARNATION, *base, snapshot)


def storage_on(
    disk: ScriptedDisk,
    *,
    segment_bytes: int = 1 << 20,
    preallocation_bytes: int = 512,
    new_incarnation: Callable[[], int] = lambda: INCARNATION,
) -> FileStorage:
    return FileStorage(
        DATA,
        "raft-0",
        segment_bytes=segment_bytes,
        preallocation_bytes=preallocation_bytes,
        filesystem=disk,
        new_incarnation=new_incarnation,
    )


def take_snapshot(storage: Storage, index: int, term: int = 1, *chunks: bytes) -> SnapshotMetadata:
    """Write and commit a snapshot of these chunks, by default of a few bytes."""
    writer = storage.begin_snapshot(index, term, MEMBERS)
    for chunk in chunks or (f"state up to {index}".encode(),):
        writer.write(chunk)
    return writer.commit()


def recover(disk: ScriptedDisk) -> Recovered:
    """Return what a new process recovers from the disk."""
    disk.kill_process()
    return storage_on(disk).recover()


def three_batches() -> tuple[ScriptedDisk, FileStorage]:
    """Return a log of three synced batches, the last one of three entries over several sectors, still open."""
    disk = ScriptedDisk()
    storage = storage_on(disk)
    storage.recover()
    for state, batch in (
        (HardState(1, "raft-0"), entries(1, 1)),
        (None, entries(2, 4)),
        (HardState(2, None), [entry(5, 2), entry(6, 2, bytes(range(1, 256)) * 4), entry(7, 2)]),
    ):
        storage.append(state, batch)
        storage.sync()
    return disk, storage


def several_segments(count: int = 4) -> ScriptedDisk:
    """Return a closed log of `count` segments."""
    disk = ScriptedDisk()
    storage = storage_on(disk, segment_bytes=1500)
    storage.recover()
    index = 0
    while segment_path(count) not in disk.names:
        index += 1
        storage.append(HardState(index, "raft-1"), [entry(index, index)])
        storage.sync()
    storage.close()
    return disk


def compacted() -> ScriptedDisk:
    """Return a closed log of entries 7 to 13 in segments 3 to 5, with a snapshot at index 10 of several sectors."""
    disk = ScriptedDisk()
    storage = storage_on(disk, segment_bytes=1500)
    storage.recover()
    for index in range(1, 14):
        storage.append(HardState(index, "raft-1"), [entry(index, index, b"x" * 200)])
        storage.sync()
    take_snapshot(storage, 10, 10, bytes(range(256)) * 4, b"the rest")
    storage.compact(7)
    storage.close()
    return disk


def installed() -> ScriptedDisk:
    """Return a closed log that segment 2 resets to a snapshot installed at index 40, and that continues to 41."""
    disk, storage = three_batches()
    take_snapshot(storage, 40, 40, b"installed")
    storage.append(HardState(41), [entry(41, 41)])
    storage.sync()
    storage.close()
    return disk


def changed(disk: ScriptedDisk, path: Path, change: Callable[[bytes], bytes]) -> ScriptedDisk:
    """Return a copy of the disk with a changed file."""
    files = disk.copy()
    return ScriptedDisk.holding({**files, path: change(files[path])})


def require_rejection(files: dict[Path, bytes], error: type[StorageError], message: str) -> None:
    """Assert that recovery and verification reject the files with this message, and change none of them."""
    disk = ScriptedDisk.holding(files)
    with pytest.raises(error, match=message):
        recover(disk)
    with pytest.raises(error, match=message):
        verify_directory(DATA, filesystem=disk)
    assert {path: data for path, data in disk.copy().items() if path.name != "LOCK"} == {
        path: data for path, data in files.items() if path.name != "LOCK"
    }
