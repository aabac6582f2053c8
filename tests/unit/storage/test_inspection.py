"""Inspection of a log and its snapshot, even while a node changes them."""

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
    segment_path,
    snapshot_path,
    storage_on,
    take_snapshot,
    three_batches,
)
from scripted_disk import ScriptedDisk

from raft_pkg.core.types import Entry, HardState
from raft_pkg.errors import StorageError
from raft_pkg.storage import InspectedRecord, LogReport, LogStart, inspect_directory, verify_directory


def test_a_report_of_a_log_without_a_snapshot() -> None:
    disk, _ = three_batches()
    assert verify_directory(DATA, filesystem=disk) == LogReport(
        "raft-0", INCARNATION, 1, HardState(2, None), 0, 0, 7, 2, torn_bytes=0, snapshot=None
    )


def test_a_report_of_a_compacted_log() -> None:
    disk = compacted()
    found = storage_on(ScriptedDisk.holding(disk.copy())).recover()
    assert verify_directory(DATA, filesystem=disk) == LogReport(
        "raft-0", INCARNATION, 3, HardState(13, "raft-1"), 6, 6, 13, 13, torn_bytes=0, snapshot=found.snapshot
    )


def test_a_report_of_a_new_log() -> None:
    disk = ScriptedDisk()
    storage_on(disk).recover()
    files = disk.copy()
    del files[NODE_FILE]
    report = verify_directory(DATA, filesystem=ScriptedDisk.holding(files))
    assert (report.incarnation, report.last_index, report.last_term) == (None, 0, 0)


def test_a_report_of_a_log_that_needs_a_reset() -> None:
    """The report equals the state after the next start."""
    disk, storage = three_batches()
    files = disk.copy()
    metadata = take_snapshot(storage, 40, 40)
    files[snapshot_path(40)] = disk.copy()[snapshot_path(40)]
    report = verify_directory(DATA, filesystem=ScriptedDisk.holding(files))
    assert (report.base_index, report.base_term, report.last_index, report.last_term) == (40, 40, 40, 40)
    assert (report.snapshot, report.hard_state) == (metadata, HardState(2, None))


def test_inspection_of_a_compacted_log_begins_with_its_start() -> None:
    snapshot, begin, *records = inspect_directory(DATA, filesystem=compacted())
    assert (snapshot.file, snapshot.size, snapshot.value.index) == (snapshot_path(10), 1032, 10)
    assert begin == InspectedRecord(segment_path(3), 0, 512, LogStart(6, 6))
    assert [record.value.index for record in records if isinstance(record.value, Entry)] == list(range(7, 14))
    assert not [record for record in records if isinstance(record.value, LogStart)]


def test_inspection_of_a_reset_log_includes_obsolete_records() -> None:
    disk, storage = three_batches()
    files = disk.copy()
    take_snapshot(storage, 40, 40)
    files = {FIRST_SEGMENT: files[FIRST_SEGMENT], NODE_FILE: files[NODE_FILE]} | {
        path: disk.copy()[path] for path in (SECOND_SEGMENT, snapshot_path(40))
    }
    values = [record.value for record in inspect_directory(DATA, filesystem=ScriptedDisk.holding(files))]
    assert [type(value).__name__ for value in values] == (
        ["SnapshotMetadata", "HardState", "HardState", "Entry", "Entry", "Entry", "Entry", "HardState"]
        + ["Entry"] * 3
        + ["LogStart", "HardState"]
    )
    assert values[-2] == LogStart(40, 40)
    values = [record.value for record in inspect_directory(DATA, filesystem=installed())]
    assert values[1:] == [LogStart(40, 40), HardState(2, None), HardState(41), entry(41, 41)]


def test_a_compaction_during_inspection_is_not_damage() -> None:
    disk = ScriptedDisk()
    storage = storage_on(disk, segment_bytes=1000)
    storage.recover()
    for index in range(1, 20):
        storage.append(None, [entry(index, 1, b"x" * 200)])
    take_snapshot(storage, 10)
    looks = iter(range(2))

    def before(operation: str, path: Path) -> None:
        """Let the node compact its log between the first look at `node.json` and the second."""
        if operation == "read" and path == NODE_FILE and next(looks, None) == 1:
            storage.compact(10)

    disk.before = before
    report = verify_directory(DATA, filesystem=disk)
    assert next(looks, None) is None
    assert report.base_index > 5
    assert report.last_index == 19


def test_a_directory_that_changes_at_every_listing() -> None:
    disk = ScriptedDisk()
    storage = storage_on(disk, segment_bytes=600)
    storage.recover()

    def before(operation: str, path: Path) -> None:
        if operation == "read" and path == NODE_FILE:
            storage.append(None, entries(1, 3, 1, b"x" * 300))

    disk.before = before
    with pytest.raises(StorageError, match="changes too often to be inspected; stop the node first"):
        verify_directory(DATA, filesystem=disk)


def test_inspection_changes_nothing() -> None:
    disk, storage = three_batches()
    take_snapshot(storage, 7, 2)
    before = disk.copy()
    disk.operations.clear()
    report = verify_directory(DATA, filesystem=disk)
    assert report.snapshot.configuration == MEMBERS
    assert len(list(inspect_directory(DATA, filesystem=disk))) == 11
    assert disk.operations == []
    assert disk.copy() == before
