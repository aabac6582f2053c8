"""Snapshots and compaction, of both the file and the memory storage unless a test says otherwise."""

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from samples import (
    DATA,
    FIRST_SEGMENT,
    INCARNATION,
    MEMBERS,
    SECOND_SEGMENT,
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

from raft_pkg.core.configuration import Configuration, Member
from raft_pkg.core.types import Entry, EntryKind, HardState, SnapshotMetadata
from raft_pkg.errors import StorageError
from raft_pkg.storage import FileStorage, MemoryStorage, Recovered, Storage, inspect_directory, verify_directory
from raft_pkg.storage.interface import random_incarnation


class Restartable:
    """A file or memory storage that can crash and restart."""

    def __init__(self, form: str) -> None:
        self.disk = ScriptedDisk()
        self._memory = MemoryStorage(new_incarnation=lambda: INCARNATION)
        self._in_memory = form == "memory"
        self.storage: Storage = self._made()

    def _made(self) -> Storage:
        return self._memory if self._in_memory else storage_on(self.disk)

    def restart(self) -> Recovered:
        """What is there after a power cut that takes everything that was not synced."""
        self._memory.crash()
        self.disk.cut_power(lambda _count: 0)
        self.storage = self._made()
        return self.storage.recover()


@pytest.fixture(params=["memory", "files"])
def node(request: pytest.FixtureRequest) -> Restartable:
    """Return a storage of ten synced entries of term 1."""
    restartable = Restartable(request.param)
    restartable.storage.recover()
    restartable.storage.append(HardState(1, "raft-1"), entries(1, 10))
    restartable.storage.sync()
    return restartable


def read_all(storage: Storage, size: int = 1000) -> bytes:
    chunks = []
    while chunk := storage.read_snapshot(sum(map(len, chunks)), size):
        chunks.append(chunk)
    return b"".join(chunks)


def test_a_snapshot_is_recovered_with_its_metadata(node: Restartable) -> None:
    writer = node.storage.begin_snapshot(8, 1, MEMBERS)
    assert writer.size == 0
    for chunk in (b"one ", b"", b"two"):
        writer.write(chunk)
    assert writer.size == 7
    metadata = SnapshotMetadata(8, 1, MEMBERS, 7, zlib.crc32(b"one two"))
    assert writer.commit() == metadata
    assert read_all(node.storage) == b"one two"
    assert node.restart() == recovered(HardState(1, "raft-1"), entries(1, 10), 0, snapshot=metadata)
    assert read_all(node.storage) == b"one two"


@pytest.mark.parametrize("data", [b"", b"x", bytes(5000), bytes(range(256)) * 10_000])
def test_any_data_is_read_in_any_chunks(node: Restartable, data: bytes) -> None:
    metadata = take_snapshot(node.storage, 5, 1, data)
    assert node.restart().snapshot == metadata
    for size in (1, 7, 4096, len(data), 1 << 30):
        assert node.storage.read_snapshot(0, size) == data[:size]
        assert node.storage.read_snapshot(len(data) // 2, size) == data[len(data) // 2 :][:size]
    assert node.storage.read_snapshot(len(data), 100) == b""
    assert node.storage.read_snapshot(len(data) + 1, 100) == b""
    assert node.storage.read_snapshot(1 << 64, 1 << 64) == b""
    assert node.storage.read_snapshot(0, 0) == b""
    for offset, size in ((-1, 5), (0, -1)):
        with pytest.raises(ValueError, match=f"a chunk of {size} bytes at offset {offset} is not possible"):
            node.storage.read_snapshot(offset, size)


def test_a_configuration_of_many_members_is_recovered(node: Restartable) -> None:
    members = tuple(Member(f"node-{number}" * 20, f"host-{number}:6000", number) for number in range(64))
    configuration = Configuration(members, outgoing=members[:5])
    metadata = node.storage.begin_snapshot(3, 1, configuration).commit()
    assert metadata.configuration == configuration
    assert node.restart().snapshot == metadata


def test_a_snapshot_has_no_effect_before_it_is_committed(node: Restartable) -> None:
    writer = node.storage.begin_snapshot(8, 1, MEMBERS)
    writer.write(b"half")
    with pytest.raises(ValueError, match="no snapshot"):
        node.storage.read_snapshot(0, 1)
    assert node.restart() == recovered(HardState(1, "raft-1"), entries(1, 10), 0)
    assert [path for path in node.disk.names if "snapshot" in path.name] == []
    take_snapshot(node.storage, 8)


def test_a_discarded_snapshot_leaves_no_file(node: Restartable) -> None:
    writer = node.storage.begin_snapshot(8, 1, MEMBERS)
    writer.write(b"half")
    writer.discard()
    writer.discard()
    assert [path for path in node.disk.names if "snapshot" in path.name] == []
    for method in (lambda: writer.write(b"more"), writer.commit):
        with pytest.raises(ValueError, match="committed or discarded"):
            method()
    metadata = take_snapshot(node.storage, 8)
    assert node.restart().snapshot == metadata


def test_a_committed_snapshot_cannot_be_discarded(node: Restartable) -> None:
    writer = node.storage.begin_snapshot(8, 1, MEMBERS)
    metadata = writer.commit()
    writer.discard()
    for method in (lambda: writer.write(b"more"), writer.commit):
        with pytest.raises(ValueError, match="committed or discarded"):
            method()
    assert node.restart().snapshot == metadata


def test_one_snapshot_at_a_time(node: Restartable) -> None:
    writer = node.storage.begin_snapshot(8, 1, MEMBERS)
    with pytest.raises(ValueError, match="is being written; commit or discard it first"):
        node.storage.begin_snapshot(9, 1, MEMBERS)
    writer.commit()
    node.storage.begin_snapshot(9, 1, MEMBERS).discard()


@pytest.mark.parametrize("index", [-1, 0, 7, 8])
def test_a_snapshot_must_have_a_greater_index_than_the_previous_one(node: Restartable, index: int) -> None:
    take_snapshot(node.storage, 8)
    with pytest.raises(ValueError, match=f"a snapshot at index {index} can't replace one at index 8"):
        node.storage.begin_snapshot(index, 1, MEMBERS)


def test_a_snapshot_replaces_the_previous_one(node: Restartable) -> None:
    take_snapshot(node.storage, 4)
    assert node.storage.read_snapshot(0, 100) == b"state up to 4"
    metadata = take_snapshot(node.storage, 8)
    assert node.storage.read_snapshot(0, 100) == b"state up to 8"
    assert [path for path in node.disk.names if path.suffix == ".snapshot"] in ([], [snapshot_path(8)])
    assert node.restart().snapshot == metadata
    assert node.storage.read_snapshot(0, 100) == b"state up to 8"


def test_entries_are_appended_while_a_snapshot_is_written(node: Restartable) -> None:
    writer = node.storage.begin_snapshot(8, 1, MEMBERS)
    node.storage.append(HardState(2, None), entries(11, 12, 2))
    writer.write(b"state")
    metadata = writer.commit()
    node.storage.append(None, entries(13, 13, 2))
    node.storage.sync()
    log = [*entries(1, 10), *entries(11, 13, 2)]
    assert node.restart() == recovered(HardState(2, None), log, 0, snapshot=metadata)


def test_a_commit_makes_earlier_appends_durable(node: Restartable) -> None:
    node.storage.append(HardState(2, None), entries(11, 12, 2))
    metadata = take_snapshot(node.storage, 12, 2)
    log = [*entries(1, 10), *entries(11, 12, 2)]
    assert node.restart() == recovered(HardState(2, None), log, 0, snapshot=metadata)


@pytest.mark.parametrize(("index", "term"), [(11, 1), (500, 3), (10, 2), (4, 2), (10, 0)])
def test_a_log_without_the_last_entry_is_discarded(node: Restartable, index: int, term: int) -> None:
    """Figure 13, InstallSnapshot, steps 6 and 7: the entry is missing or has another term."""
    metadata = take_snapshot(node.storage, index, term)
    empty = recovered(HardState(1, "raft-1"), [], 0, (index, term), metadata)
    assert node.restart() == empty
    assert node.restart() == empty
    with pytest.raises(
        ValueError, match=f"entry {index + 2} can't be appended to a log of entries {index + 1} to {index}"
    ):
        node.storage.append(None, [entry(index + 2, 5)])
    node.storage.append(HardState(5, None), entries(index + 1, index + 3, 5))
    node.storage.append(None, entries(index + 2, index + 2, 6))
    node.storage.sync()
    log = [entry(index + 1, 5), entry(index + 2, 6)]
    assert node.restart() == recovered(HardState(5, None), log, 0, (index, term), metadata)


@pytest.mark.parametrize("index", [1, 9, 10])
def test_a_log_with_the_last_entry_is_kept(node: Restartable, index: int) -> None:
    """Figure 13, InstallSnapshot, step 6."""
    metadata = take_snapshot(node.storage, index)
    assert node.restart() == recovered(HardState(1, "raft-1"), entries(1, 10), 0, snapshot=metadata)


def test_several_snapshots_are_installed(node: Restartable) -> None:
    for index in (20, 30, 40):
        metadata = take_snapshot(node.storage, index, index)
        node.storage.append(None, [entry(index + 1, index)])
    node.storage.sync()
    found = node.restart()
    assert found == recovered(HardState(1, "raft-1"), [entry(41, 40)], 0, (40, 40), metadata)
    assert [path for path in node.disk.names if path.suffix == ".log"] in ([], [segment_path(4)])


@pytest.mark.parametrize("index", [1, 7, 8])
def test_entries_replaced_by_a_snapshot_cannot_be_appended(node: Restartable, index: int) -> None:
    metadata = take_snapshot(node.storage, 8)
    with pytest.raises(ValueError, match=f"entry {index} can't be appended to a log of entries 9 to 10"):
        node.storage.append(None, [entry(index, 2)])
    node.storage.append(None, [entry(9, 2)])
    node.storage.sync()
    found = node.restart()
    assert found == recovered(HardState(1, "raft-1"), [*entries(1, 8), entry(9, 2)], 0, snapshot=metadata)
    with pytest.raises(ValueError, match=f"entry {index} can't be appended to a log of entries 9 to 9"):
        node.storage.append(None, [entry(index, 2)])


def test_compaction_beyond_the_snapshot_is_rejected(node: Restartable) -> None:
    with pytest.raises(ValueError, match="entries up to 1 can't be removed: the snapshot replaces those up to 0"):
        node.storage.compact(1)
    take_snapshot(node.storage, 8)
    with pytest.raises(ValueError, match="entries up to 9 can't be removed: the snapshot replaces those up to 8"):
        node.storage.compact(9)
    for index in (0, 5, 8, 3):
        node.storage.compact(index)
    found = node.restart()
    assert found.base_index <= 8
    assert found.entries == entries(found.base_index + 1, 10)


def test_an_installed_snapshot_is_compared_with_a_compacted_log(node: Restartable) -> None:
    take_snapshot(node.storage, 6)
    node.storage.compact(6)
    node.storage.append(None, entries(10, 12, 2))
    metadata = take_snapshot(node.storage, 11, 2)
    assert node.restart().entries[-1] == entry(12, 2), "the entry was there"
    node.storage.compact(11)
    newer = take_snapshot(node.storage, 12, 3)
    assert newer.index > metadata.index
    assert node.restart() == recovered(HardState(1, "raft-1"), [], 0, (12, 3), newer)


def test_memory_of_compacted_entries_is_freed() -> None:
    storage = MemoryStorage(new_incarnation=lambda: INCARNATION)
    storage.recover()
    storage.append(None, entries(1, 10))
    metadata = take_snapshot(storage, 8)
    storage.compact(6)
    storage.crash()
    assert storage.recover() == recovered(HardState(), entries(7, 10), 0, (6, 1), metadata)


def test_closing_releases_every_file() -> None:
    disk, storage = three_batches()
    take_snapshot(storage, 4)
    storage.read_snapshot(0, 1)
    storage.begin_snapshot(5, 2, MEMBERS).write(b"half")
    assert len(disk.open_files) == 3
    storage.close()
    assert disk.open_files == []


def test_use_before_recovery_and_after_the_end_is_rejected(node: Restartable) -> None:
    writer = node.storage.begin_snapshot(8, 1, MEMBERS)
    node.storage.close()
    assert [path for path in node.disk.names if "snapshot" in path.name] == []
    methods: list[Callable[[], object]] = [
        lambda: writer.write(b"x"),
        writer.commit,
        lambda: node.storage.begin_snapshot(9, 1, MEMBERS),
        lambda: node.storage.read_snapshot(0, 1),
        lambda: node.storage.compact(0),
    ]
    for method in methods:
        with pytest.raises(StorageError, match="closed"):
            method()
    writer.discard()
    assert node.restart().snapshot is None
    for method in (lambda: writer.write(b"x"), writer.commit):
        with pytest.raises((ValueError, StorageError), match=r"committed or discarded|closed"):
            method()


def compactable(count: int = 5) -> tuple[ScriptedDisk, FileStorage]:
    """Return an open log of `count` segments with three entries each; the newest one is not full."""
    disk = ScriptedDisk()
    storage = storage_on(disk, segment_bytes=1500)
    storage.recover()
    index = 0
    while segment_path(count) not in disk.names:
        index += 1
        storage.append(HardState(index, "raft-1"), [entry(index, index, b"x" * 200)])
        storage.sync()
    return disk, storage


def segments(disk: ScriptedDisk) -> list[int]:
    return [int(path.stem) for path in sorted(disk.names) if path.suffix == ".log"]


def last_of_segments(disk: ScriptedDisk) -> dict[int, int]:
    """Return the index of the last entry of each segment."""
    records = inspect_directory(DATA, filesystem=disk)
    return {int(r.file.stem): r.value.index for r in records if isinstance(r.value, Entry)}


def test_whole_segments_are_removed_except_the_newest() -> None:
    disk, storage = compactable()
    last = last_of_segments(disk)
    state = HardState(last[5], "raft-1")
    metadata = take_snapshot(storage, last[5], last[5])
    assert segments(disk) == [1, 2, 3, 4, 5]
    for index, oldest in (
        (last[1] - 1, 1), (last[1], 2), (last[2] + 1, 3), (last[1], 3), (last[4] - 1, 4), (last[5], 5), (last[5], 5),
    ):  # fmt: skip
        storage.compact(index)
        assert segments(disk) == list(range(oldest, 6))
        base = last[oldest - 1] if oldest > 1 else 0
        log = [entry(index, index, b"x" * 200) for index in range(base + 1, last[5] + 1)]
        copy = ScriptedDisk.holding(disk.copy())
        assert recover(copy) == recovered(state, log, 0, (base, base), metadata)
        report = verify_directory(DATA, filesystem=disk)
        assert (report.base_index, report.base_term, report.last_index) == (base, base, last[5])


def test_nothing_is_written_when_nothing_can_be_removed() -> None:
    disk, storage = compactable()
    last = last_of_segments(disk)
    take_snapshot(storage, last[5], last[5])
    storage.compact(last[2])
    disk.operations.clear()
    for index in (0, last[1], last[2], last[3] - 1):
        storage.compact(index)
    assert disk.operations == []


def test_a_compacted_log_is_continued_and_compacted_again() -> None:
    disk = ScriptedDisk()
    storage = storage_on(disk, segment_bytes=1500)
    storage.recover()
    for index in range(1, 101):
        storage.append(HardState(index), [entry(index, index, b"x" * 200)])
        storage.sync()
        if index % 10 == 0:
            take_snapshot(storage, index - 2, index - 2)
            storage.compact(index - 5)
        if index % 17 == 0:
            disk.cut_power(lambda _count: 0)
            storage = storage_on(disk, segment_bytes=1500)
            storage.recover()
        assert len(segments(disk)) <= 10
    found = recover(disk)
    assert 0 < found.base_index <= 95
    assert found.base_term == found.base_index
    assert found.entries == [entry(index, index, b"x" * 200) for index in range(found.base_index + 1, 101)]
    assert found.snapshot.index == 98


@pytest.mark.parametrize("steps_back", [(2,), (0,), (2, 1, 0), (0, 1, 2), (1, 2, 0)])
def test_entries_that_replaced_those_of_removed_segments(steps_back: tuple[int, ...]) -> None:
    """When the oldest remaining segment was created, the log was longer than later, and of another term."""
    disk = ScriptedDisk()
    storage = storage_on(disk, segment_bytes=1500)
    storage.recover()
    log: list[Entry] = []
    while segment_path(3) not in disk.names:
        log.append(entry(len(log) + 1, 1, b"x" * 200))
        storage.append(None, log[-1:])
    before = len(log) - 1  # the last entry of segment 2
    for term, back in enumerate(steps_back, 2):
        log = [*log[: before - back - 1], entry(before - back, term), entry(before - back + 1, term)]
        storage.append(HardState(term), log[-2:])
    more = entries(len(log) + 1, before + 3, 9)
    log += more
    storage.append(None, more)
    metadata = take_snapshot(storage, before + 1, log[before].term)
    storage.compact(before)
    assert segments(disk)[0] == 3
    found = recover(disk)
    base = before - max(steps_back)
    assert (found.base_index, found.base_term) == (base, log[base - 1].term)
    assert found.entries == log[base:]
    assert found.snapshot == metadata
    again = storage_on(disk)
    disk.kill_process()
    assert again.recover() == found
    again.append(None, [entry(before + 4, 9)])
    again.sync()
    assert recover(disk).entries == [*found.entries, entry(before + 4, 9)]


def test_a_segment_is_kept_for_replaced_entries() -> None:
    """They are past the index of the compaction; a later compaction removes the segment."""
    disk = ScriptedDisk()
    storage = storage_on(disk, segment_bytes=1500)
    storage.recover()
    storage.append(None, entries(1, 30))
    storage.append(None, entries(5, 6, 2))
    take_snapshot(storage, 6, 2)
    storage.compact(6)
    assert segments(disk) == [1, 2]
    assert recover(disk).entries == [*entries(1, 4), *entries(5, 6, 2)]


def test_a_segment_without_entries_is_removed() -> None:
    disk = ScriptedDisk()
    storage = storage_on(disk, segment_bytes=1500)
    storage.recover()
    term = 0
    while segment_path(3) not in disk.names:
        term += 1
        storage.append(HardState(term), [])
    storage.append(None, [entry(1, term)])
    metadata = take_snapshot(storage, 1, term)
    storage.compact(1)
    assert segments(disk) == [3]
    assert recover(disk) == recovered(HardState(term), [entry(1, term)], 0, (0, 0), metadata)


def test_order_of_the_calls_of_a_commit() -> None:
    """The data becomes durable chunk by chunk, then the name; the previous snapshot is removed last."""
    disk, storage = compactable(2)
    last = last_of_segments(disk)[2]
    take_snapshot(storage, last - 1, last - 1)
    storage.append(None, [entry(last + 1, 99)])
    disk.operations.clear()
    take_snapshot(storage, last, last, b"one", b"two")
    name = snapshot_path(last).name
    temporary = f"{name}.tmp"
    assert disk.operations == [
        ("remove", temporary),
        ("create", temporary),
        ("write", temporary),
        ("write", temporary),
        ("sync_data", temporary),
        ("write", temporary),
        ("sync_data", temporary),
        ("sync_data", SECOND_SEGMENT.name),
        ("write", temporary),
        ("sync_file", temporary),
        ("rename", name),
        ("sync_directory", "data"),
        ("remove", snapshot_path(last - 1).name),
    ]


def test_order_of_the_calls_of_a_reset() -> None:
    disk = ScriptedDisk()
    storage = storage_on(disk)
    storage.recover()
    storage.append(None, entries(1, 3))
    storage.sync()
    writer = storage.begin_snapshot(9, 2, MEMBERS)
    disk.operations.clear()
    writer.commit()
    renamed = [name for operation, name in disk.operations if operation in ("rename", "remove", "sync_directory")]
    assert renamed == [
        snapshot_path(9).name, "data", SECOND_SEGMENT.name, "data", "node.json", "data", FIRST_SEGMENT.name,
    ]  # fmt: skip


def test_compaction_updates_the_node_file_before_it_removes_segments() -> None:
    disk, storage = compactable(3)
    last = last_of_segments(disk)
    take_snapshot(storage, last[2], last[2])
    disk.operations.clear()
    storage.compact(last[2])
    removed = ["0000000001.log", "0000000002.log"]
    assert disk.operations[-4:] == [
        ("rename", "node.json"),
        ("sync_directory", "data"),
        *(("remove", n) for n in removed),
    ]


def test_real_files(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path, "raft-0", segment_bytes=2000)
    first = storage.recover()
    for index in range(1, 30):
        storage.append(HardState(index), [entry(index, index, b"x" * 300)])
    storage.sync()
    data = bytes(range(256)) * 20_000
    metadata = take_snapshot(
        storage, 25, 25, *(data[start : start + (1 << 20)] for start in range(0, len(data), 1 << 20))
    )
    (tmp_path / f"{27:020d}.snapshot.tmp").write_bytes(b"half a snapshot")
    assert storage.read_snapshot(1_000_000, 2_000_000) == data[1_000_000:3_000_000]
    storage.compact(20)
    storage.close()
    storage = FileStorage(tmp_path, "raft-0")
    found = storage.recover()
    assert found.incarnation == first.incarnation
    assert found.snapshot == metadata
    assert 0 < found.base_index <= 20
    assert found.entries == [entry(index, index, b"x" * 300) for index in range(found.base_index + 1, 30)]
    assert read_all(storage, 1 << 20) == data
    installed = take_snapshot(storage, 1000, 40, b"installed")
    storage.append(None, [entry(1001, 40)])
    storage.sync()
    assert read_all(storage) == b"installed"
    storage.close()
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", ".json", ".log", ".snapshot"]
    storage = FileStorage(tmp_path, "raft-0")
    assert storage.recover() == Recovered(
        HardState(29), [entry(1001, 40)], 0, first.incarnation, base_index=1000, base_term=40, snapshot=installed
    )
    storage.close()


def test_a_configuration_over_the_size_limit_is_not_written(node: Restartable) -> None:
    configuration = Configuration((Member("raft-0", "x" * (1 << 20)),))
    node.restart()
    if isinstance(node.storage, FileStorage):
        with pytest.raises(ValueError, match="the limit is 1048576"):
            node.storage.begin_snapshot(1, 1, configuration)
    take_snapshot(node.storage, 1)


def test_kinds_of_entries_are_recovered_after_a_compaction() -> None:
    disk = ScriptedDisk()
    storage = storage_on(disk)
    storage.recover()
    log = [Entry(i, 1, kind, MEMBERS.encode()) for i, kind in enumerate(EntryKind, 1)]
    storage.append(None, log)
    take_snapshot(storage, 2)
    storage.compact(2)
    assert recover(disk).entries == log


def test_an_incarnation_is_drawn_once(node: Restartable) -> None:
    assert node.restart().incarnation == INCARNATION
    numbers = iter([5, 6])
    storage = MemoryStorage(new_incarnation=lambda: next(numbers))
    assert [storage.recover().incarnation, storage.close(), storage.recover().incarnation] == [5, None, 5]


def test_an_incarnation_is_durable_before_recovery_returns() -> None:
    disk = ScriptedDisk()
    numbers = iter([5, 6])
    found = FileStorage(DATA, "raft-0", filesystem=disk, new_incarnation=lambda: next(numbers)).recover()
    disk.cut_power(lambda _count: 0)
    again = FileStorage(DATA, "raft-0", filesystem=disk, new_incarnation=lambda: next(numbers)).recover()
    assert (found.incarnation, again.incarnation) == (5, 5)


def test_incarnations_differ_and_are_not_zero() -> None:
    drawn = [random_incarnation() for _ in range(1000)]
    assert len(set(drawn)) == 1000
    assert all(0 < number < 1 << 63 for number in drawn)
    assert max(drawn) > 1 << 60
