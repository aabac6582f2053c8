"""The file storage without faults, and its argument checks."""

import json
from pathlib import Path

import pytest
from samples import (
    DATA,
    FIRST_SEGMENT,
    INCARNATION,
    NODE_FILE,
    SECOND_SEGMENT,
    entries,
    entry,
    recover,
    recovered,
    storage_on,
    three_batches,
)
from scripted_disk import ScriptedDisk

from raft_pkg.core.types import Entry, EntryKind, HardState
from raft_pkg.errors import StorageError
from raft_pkg.storage import FileStorage, Recovered


def test_a_new_directory_is_empty_and_belongs_to_the_node(tmp_path: Path) -> None:
    directory = tmp_path / "several" / "levels"
    storage = FileStorage(directory, "raft-0", new_incarnation=lambda: INCARNATION)
    assert storage.recover() == recovered(HardState(), [], 0)
    storage.close()
    assert json.loads((directory / "node.json").read_text())["node_id"] == "raft-0"


def test_synced_data_is_recovered(tmp_path: Path) -> None:
    batch = [Entry(1, 1, EntryKind.NOOP, b""), *entries(2, 5)]
    storage = FileStorage(tmp_path, "raft-0", new_incarnation=lambda: INCARNATION)
    storage.recover()
    storage.append(HardState(1, "raft-2"), batch)
    storage.sync()
    storage.close()
    storage = FileStorage(tmp_path, "raft-0", new_incarnation=lambda: 1)
    assert storage.recover() == recovered(HardState(1, "raft-2"), batch, 0)


@pytest.mark.parametrize("vote", [None, "", "raft-0", "Knoten-ß"])
def test_a_vote_is_recovered(vote: str | None) -> None:
    disk = ScriptedDisk()
    storage = storage_on(disk)
    storage.recover()
    storage.append(HardState(7, vote), [])
    storage.sync()
    assert recover(disk).hard_state == HardState(7, vote)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        bytes(7),
        bytes(63),
        bytes(64),
        bytes(1000),
        b"\x1b",
        b"\x1b\x01\x1b\x02\x1b\x1b",
        bytes(64) + b"\x1b\x02" + bytes(129) + b"\x1b",
        b"\x1b" * 200 + bytes(70),
        b"\xd3RLg" * 30,
        bytes(1 << 21),
        bytes(range(256)) * (1 << 12),
    ],
    ids=lambda data: f"{len(data)} bytes of {data[:4]!r}",
)
def test_any_data_is_recovered(data: bytes) -> None:
    disk = ScriptedDisk()
    storage = storage_on(disk)
    storage.recover()
    storage.append(None, [entry(1, 1, data), entry(2, 1, b"next")])
    storage.sync()
    assert recover(disk).entries == [entry(1, 1, data), entry(2, 1, b"next")]


def test_no_written_sector_is_all_zeros() -> None:
    """Recovery takes a sector of zeros for one that was not written."""
    disk = ScriptedDisk()
    storage = storage_on(disk)
    storage.recover()
    for index, size in enumerate([*range(500, 530), 4096, 100_000], 1):
        storage.append(None, [entry(index, 1, bytes(size))])
        storage.append(None, [entry(index, 1, (bytes(63) + b"\1") * (size // 64))])
    content = disk.copy()[FIRST_SEGMENT].rstrip(b"\0")
    assert all(any(content[start : start + 512]) for start in range(0, len(content), 512))


def test_an_entry_replaces_existing_ones_from_its_index_on() -> None:
    """Figure 2, AppendEntries receiver, step 3."""
    disk, storage = three_batches()
    storage.append(HardState(3, None), entries(3, 4, 3))
    storage.append(None, entries(5, 5, 3))
    storage.sync()
    assert recover(disk).entries == [*entries(1, 2), *entries(3, 5, 3)]


def test_replacing_entries_overwrites_no_bytes() -> None:
    disk, storage = three_batches()
    before = disk.copy()[FIRST_SEGMENT].rstrip(b"\0")
    storage.append(None, entries(1, 1, 9))
    storage.sync()
    assert disk.copy()[FIRST_SEGMENT].startswith(before)


def test_segments_roll_and_entries_are_replaced_across_them() -> None:
    disk = ScriptedDisk()
    storage = storage_on(disk, segment_bytes=2000)
    storage.recover()
    for index in range(1, 60):
        storage.append(HardState(index, "raft-0"), [entry(index, index)])
        storage.sync()
    storage.append(HardState(60, None), [entry(3, 60)])
    storage.sync()
    segments = [path for path in disk.names if path.suffix == ".log"]
    assert len(segments) > 4
    assert all(len(disk.copy()[path]) <= 2000 + 512 + 200 for path in segments)
    assert recover(disk) == recovered(HardState(60, None), [entry(1, 1), entry(2, 2), entry(3, 60)], 0)


def test_each_segment_starts_with_the_hard_state() -> None:
    """Therefore previous segments can be removed when a snapshot replaces them."""
    disk = ScriptedDisk()
    storage = storage_on(disk, segment_bytes=1000)
    storage.recover()
    storage.append(HardState(5, "raft-1"), [])
    storage.sync()
    for index in range(1, 20):
        storage.append(None, [entry(index, 5)])
        storage.sync()
    second = disk.copy()[SECOND_SEGMENT]
    assert second[512:516] == b"\xd3RLg"
    assert second.index(b"raft-1") < second.index(b"command")


def test_an_append_of_many_entries_is_one_write_and_one_sync() -> None:
    disk = ScriptedDisk()
    storage = storage_on(disk)
    storage.recover()
    for count in (1, 3, 500, 2000):
        disk.operations.clear()
        storage.append(HardState(count), entries(1, count))
        storage.sync()
        assert disk.operations == [("write", "0000000001.log"), ("sync_data", "0000000001.log")]
        assert recover_copy(disk).entries == entries(1, count)


def recover_copy(disk: ScriptedDisk) -> Recovered:
    return recover(ScriptedDisk.holding(disk.copy()))


def test_a_sync_without_an_append_does_nothing() -> None:
    disk, storage = three_batches()
    disk.operations.clear()
    storage.append(None, [])
    storage.sync()
    assert disk.operations == []


def test_many_appends_before_one_sync() -> None:
    disk = ScriptedDisk()
    storage = storage_on(disk)
    storage.recover()
    for index in range(1, 50):
        storage.append(None, [entry(index)])
    storage.sync()
    assert recover(disk).entries == entries(1, 49)


def test_repeated_restarts_keep_everything() -> None:
    disk = ScriptedDisk()
    for index in range(1, 30):
        storage = storage_on(disk, segment_bytes=1200)
        assert storage.recover() == recovered(HardState(index - 1), [entry(i, i) for i in range(1, index)], 0)
        storage.append(HardState(index), [entry(index, index)])
        storage.sync()
        if index % 3:
            storage.close()
        else:
            disk.kill_process()


def test_closing_records_the_synced_end_of_the_log() -> None:
    disk, storage = three_batches()
    storage.append(None, [entry(8, 2)])
    storage.close()
    noted = json.loads(disk.copy()[NODE_FILE])
    assert noted["synced_segment"] == 1
    assert noted["synced_offset"] < len(disk.copy()[FIRST_SEGMENT].rstrip(b"\0")), "the last entry was not synced"
    storage.close()


def test_foreign_files_are_not_touched() -> None:
    disk, storage = three_batches()
    storage.close()
    foreign = {DATA / "lost+found.tmp": b"x", DATA / "0000000009.log.bak": b"y", DATA / "notes": b"z"}
    disk = ScriptedDisk.holding(disk.copy() | foreign)
    assert len(recover(disk).entries) == 7
    assert foreign.items() <= disk.copy().items()


@pytest.mark.parametrize(
    ("state", "batch", "message"),
    [
        (HardState(1, None), [], "term would decrease from 2 to 1"),
        (HardState(2, "raft-1"), [], "vote in term 2 would change from 'raft-0' to 'raft-1'"),
        (HardState(2, None), [], "vote in term 2 would change"),
        (None, [entry(0)], "entry 0 can't be appended to a log of entries 1 to 3"),
        (None, [entry(5)], "entry 5 can't be appended to a log of entries 1 to 3"),
        (None, [entry(4), entry(6)], "entry 6 can't follow entry 4"),
        (None, [entry(4, 1, bytes((64 << 20) + 1))], "data of entry 4 has 67108865 bytes; the limit is 67108864"),
    ],
)
def test_an_invalid_append_is_not_written(state: HardState | None, batch: list[Entry], message: str) -> None:
    disk = ScriptedDisk()
    storage = storage_on(disk)
    storage.recover()
    storage.append(HardState(2, "raft-0"), entries(1, 3))
    storage.sync()
    before = disk.copy()
    with pytest.raises(ValueError, match=message):
        storage.append(state, batch)
    assert disk.copy() == before
    storage.append(HardState(2, "raft-0"), [entry(4)])
    storage.sync()
    assert recover(disk) == recovered(HardState(2, "raft-0"), entries(1, 4), 0)


def test_a_batch_over_the_size_limit_of_segments_is_not_written() -> None:
    disk, storage = three_batches()
    before = disk.copy()
    with pytest.raises(ValueError, match="the limit of 1073741824 bytes per segment"):
        storage.append(None, entries(8, 25, 2, b"\x01" * 60_000_000))
    assert disk.copy() == before


def test_use_before_recovery_and_after_closing_is_rejected() -> None:
    storage = storage_on(ScriptedDisk())
    with pytest.raises(StorageError, match="recover"):
        storage.append(None, [entry(1)])
    with pytest.raises(StorageError, match="recover"):
        storage.sync()
    storage.close()
    storage = storage_on(ScriptedDisk())
    storage.recover()
    with pytest.raises(StorageError, match="called before"):
        storage.recover()
    storage.close()
    storage.close()
    with pytest.raises(StorageError, match="closed"):
        storage.append(None, [entry(1)])


@pytest.mark.parametrize(
    "options",
    [
        {"node_id": ""},
        {"node_id": "x" * 256},
        {"segment_bytes": 0},
        {"segment_bytes": 1 << 40},
        {"preallocation_bytes": 0},
    ],
)
def test_invalid_options(options: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not"):
        FileStorage(**({"directory": tmp_path, "node_id": "raft-0"} | options))  # type: ignore[arg-type]
