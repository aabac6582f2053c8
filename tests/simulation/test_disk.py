"""The simulated disk loses what a real disk may lose, and nothing else."""

import errno
from pathlib import Path
from random import Random

import pytest

from raft_testbed.simulation.disk import SECTOR_BYTES, FaultyDisk, Moment, SimulatedCrash

FILE = Path("/file")


def disk(seed: int = 0) -> FaultyDisk:
    return FaultyDisk(Random(seed), lambda: None)


def written(filesystem: FaultyDisk, data: bytes) -> int:
    descriptor = filesystem.create(FILE)
    offset = 0
    while offset < len(data):
        offset += filesystem.write(descriptor, [data[offset:]], offset)
    return descriptor


def test_a_killed_process_loses_nothing_that_it_wrote() -> None:
    filesystem = disk()
    written(filesystem, b"abc")
    filesystem.stop(power_lost=False)
    filesystem.boot()
    assert filesystem.read(FILE) == b"abc"


def test_a_power_loss_keeps_what_was_synced() -> None:
    for seed in range(30):
        filesystem = disk(seed)
        descriptor = written(filesystem, b"a" * 700)
        filesystem.sync_data(descriptor)
        filesystem.sync_directory(Path("/"))
        filesystem.stop(power_lost=True)
        filesystem.boot()
        assert filesystem.read(FILE) == b"a" * 700


def test_a_power_loss_keeps_any_subset_of_the_unsynced_sectors() -> None:
    found = set()
    for seed in range(60):
        filesystem = disk(seed)
        descriptor = filesystem.create(FILE)
        filesystem.sync_directory(Path("/"))
        filesystem.sync_data(descriptor)
        data = b"a" * SECTOR_BYTES + b"b" * SECTOR_BYTES
        assert filesystem.write(descriptor, [data], 0) > 0
        filesystem.stop(power_lost=True)
        filesystem.boot()
        kept = filesystem.read(FILE).ljust(2 * SECTOR_BYTES, b"\0")
        found.add((kept[0], kept[SECTOR_BYTES]))
    assert found == {(0, 0), (97, 0), (0, 98), (97, 98)}


def test_a_power_loss_may_remove_an_unsynced_name() -> None:
    found = set()
    for seed in range(30):
        filesystem = disk(seed)
        filesystem.sync_data(written(filesystem, b"a"))
        filesystem.stop(power_lost=True)
        filesystem.boot()
        found.add(tuple(filesystem.list_directory(Path("/"))))
    assert found == {(), ("file",)}


def test_a_crash_tears_the_write_that_it_interrupts() -> None:
    found = set()
    for seed in range(30):
        filesystem = disk(seed)
        descriptor = filesystem.create(FILE)
        filesystem.crash_after(0)
        with pytest.raises(SimulatedCrash):
            filesystem.write(descriptor, [b"abcd"], 0)
        with pytest.raises(SimulatedCrash):
            filesystem.read(FILE)
        filesystem.stop(power_lost=False)
        filesystem.boot()
        found.add(filesystem.read(FILE))
    assert found <= {b"", b"a", b"ab", b"abc", b"abcd"}
    assert len(found) > 2


def test_after_a_failed_sync_memory_and_disk_differ() -> None:
    filesystem = disk(3)
    descriptor = filesystem.create(FILE)
    filesystem.sync_directory(Path("/"))
    filesystem.write(descriptor, [b"a" * 4096], 0)
    filesystem.fail_after(0, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        filesystem.sync_data(descriptor)
    filesystem.stop(power_lost=False)
    filesystem.boot()
    assert filesystem.read(FILE) == b"a" * 4096
    assert filesystem.read(FILE, cached=False) != b"a" * 4096


def test_a_flipped_bit_is_repaired() -> None:
    filesystem = disk()
    filesystem.sync_data(written(filesystem, b"abc"))
    undo = filesystem.flip_bit(Random(1))
    assert filesystem.read(FILE) != b"abc"
    undo()
    assert filesystem.read(FILE) == b"abc"


@pytest.mark.parametrize("moment", Moment)
def test_a_crash_can_be_scheduled_after_a_moment(moment: Moment) -> None:
    filesystem = disk()
    filesystem.crash_after(1, moment)
    for name in ("1.log", "2.log"):
        filesystem.create(Path(f"/{name}.tmp"))
        filesystem.rename(Path(f"/{name}.tmp"), Path(f"/{name}"))
    match moment:
        case Moment.SNAPSHOT_BEGUN:
            filesystem.create(Path("/3.snapshot.tmp"))
        case Moment.SNAPSHOT_NAMED:
            filesystem.create(Path("/3.snapshot.tmp"))
            filesystem.rename(Path("/3.snapshot.tmp"), Path("/3.snapshot"))
        case Moment.SEGMENT_REMOVED:
            filesystem.remove(Path("/1.log"))
    with pytest.raises(SimulatedCrash):
        filesystem.list_directory(Path("/"))
