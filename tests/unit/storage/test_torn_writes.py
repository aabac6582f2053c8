"""A torn write is cut off, and anything else is rejected as damage. No synced data is lost."""

import itertools
import random
from collections.abc import Iterator

import pytest
from samples import (
    DATA,
    FIRST_SEGMENT,
    NODE_FILE,
    changed,
    entries,
    entry,
    recover,
    recovered,
    several_segments,
    storage_on,
    three_batches,
)
from scripted_disk import ScriptedDisk

from raft_pkg.core.types import Entry, HardState
from raft_pkg.errors import CorruptLogError
from raft_pkg.storage import Recovered, inspect_directory
from raft_testbed.simulation.disk import SECTOR_BYTES

SYNCED = recovered(HardState(1, "raft-0"), entries(1, 4), 0)


def last_batch() -> tuple[dict, int, int]:
    """Return a log whose last batch no later record attests to be synced, and that batch's start and end."""
    disk, _ = three_batches()
    records = list(inspect_directory(DATA, filesystem=disk))
    start = next(record.offset for record in records if record.value == HardState(2, None))
    return disk.copy(), start, records[-1].offset + records[-1].size


def all_of_it() -> Recovered:
    disk, _ = three_batches()
    return recover(disk)


def require_usable(disk: ScriptedDisk, found: Recovered) -> None:
    """Assert that the recovered state survives a power loss, and that the log can be continued."""
    disk.cut_power(lambda _count: 0)
    storage = storage_on(disk)
    assert storage.recover() == recovered(found.hard_state, found.entries, 0)
    more = entry(len(found.entries) + 1, 9)
    storage.append(HardState(9), [more])
    storage.sync()
    disk.cut_power(lambda _count: 0)
    assert recover(disk) == recovered(HardState(9), [*found.entries, more], 0)


def require_prefix(found: Recovered) -> None:
    """Assert that the synced records and a prefix of the last batch were recovered."""
    whole = all_of_it()
    assert found.entries == whole.entries[: len(found.entries)]
    assert len(found.entries) >= 4
    assert found.hard_state == (whole.hard_state if len(found.entries) > 4 else found.hard_state)
    assert found.hard_state in (SYNCED.hard_state, whole.hard_state)


@pytest.mark.parametrize("rest", ["missing", "zeros"])
def test_a_batch_torn_at_any_byte_is_cut_off(rest: str) -> None:
    files, start, end = last_batch()
    content = files[FIRST_SEGMENT]
    for cut in range(start, end):
        left = content[:cut] if rest == "missing" else content[:cut].ljust(len(content), b"\0")
        disk = ScriptedDisk.holding(files | {FIRST_SEGMENT: left})
        found = recover(disk)
        require_prefix(found)
        assert found.torn_bytes <= cut - start
        if cut % 50 == 0:
            require_usable(disk, found)


def test_torn_bytes_are_reported() -> None:
    files, start, _ = last_batch()
    torn = ScriptedDisk.holding(files | {FIRST_SEGMENT: files[FIRST_SEGMENT][: start + 5]})
    assert recover(torn) == recovered(SYNCED.hard_state, SYNCED.entries, 5)
    assert len(torn.copy()[FIRST_SEGMENT]) == start


def test_any_subset_of_the_sectors_of_the_last_batch_is_recovered() -> None:
    files, start, end = last_batch()
    content = files[FIRST_SEGMENT]
    before = content[:start].ljust(len(content), b"\0")
    sectors = range(start // SECTOR_BYTES, (end - 1) // SECTOR_BYTES + 1)
    assert len(sectors) >= 3
    outcomes = set()
    for written in itertools.product((True, False), repeat=len(sectors)):
        left = bytearray(content)
        for sector in itertools.compress(sectors, (not taken for taken in written)):
            span = slice(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES)
            left[span] = before[span]
        disk = ScriptedDisk.holding(files | {FIRST_SEGMENT: bytes(left)})
        found = recover(disk)
        require_prefix(found)
        outcomes.add(len(found.entries))
        require_usable(disk, found)
    assert outcomes >= {4, 7}


def test_the_cut_is_durable_before_anything_is_appended() -> None:
    files, start, _ = last_batch()
    content = files[FIRST_SEGMENT]
    disk = ScriptedDisk.holding(files | {FIRST_SEGMENT: content[: start + 100].ljust(len(content), b"\0")})
    storage = storage_on(disk)
    storage.recover()
    storage.append(None, [entry(5, 2)])
    names = [operation for operation in disk.operations if operation[1] == "0000000001.log"]
    assert names == [(operation, "0000000001.log") for operation in ("truncate", "sync_file", "write")]
    assert len(disk.copy()[FIRST_SEGMENT]) % 512 == 0, "there is space ahead again"


def test_recovered_data_is_synced_before_it_is_used() -> None:
    """A killed process may have written data that it never synced, and the next process acts on it."""
    disk = ScriptedDisk()
    storage = storage_on(disk)
    storage.recover()
    storage.append(HardState(4, "raft-2"), entries(1, 3))
    found = recover(disk)
    assert found == recovered(HardState(4, "raft-2"), entries(1, 3), 0)
    disk.cut_power(lambda _count: 0)
    assert recover(disk) == found


def single_bits(content: bytes, seed: int) -> Iterator[tuple[int, bytes]]:
    rng = random.Random(seed)
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << rng.randrange(8)
        yield position, bytes(flipped)


def inverted_bytes(content: bytes, seed: int) -> Iterator[tuple[int, bytes]]:
    del seed
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 0xFF
        yield position, bytes(flipped)


def recover_unless_rejected(disk: ScriptedDisk) -> Recovered | None:
    try:
        return recover(disk)
    except CorruptLogError:
        return None


@pytest.mark.parametrize("flips", [single_bits, inverted_bytes])
def test_no_changed_byte_is_accepted(flips) -> None:
    """Even in the last batch, which no later record attests: all its sectors are present, so it is not torn."""
    files, _, end = last_batch()
    whole = all_of_it()
    refused = 0
    for position, content in flips(files[FIRST_SEGMENT], seed=1):
        disk = ScriptedDisk.holding(files | {FIRST_SEGMENT: content})
        if position < end:
            with pytest.raises(CorruptLogError, match=rf"{FIRST_SEGMENT}: byte \d+: "):
                recover(disk)
            assert disk.copy()[FIRST_SEGMENT] == content
            refused += 1
        elif found := recover_unless_rejected(disk):
            assert found == recovered(whole.hard_state, whole.entries, position - end + 1)
    assert refused == end


def test_damage_names_the_file_and_the_record() -> None:
    disk, _ = three_batches()
    third = list(inspect_directory(DATA, filesystem=disk))[3]
    damaged = changed(disk, FIRST_SEGMENT, lambda data: flip(data, third.offset + 60))
    with pytest.raises(CorruptLogError, match=rf"0000000001\.log: byte {third.offset}: .*does not match its checksum"):
        recover(damaged)


def flip(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :]


def test_zeros_are_damage_when_a_later_record_attests_that_they_were_written() -> None:
    files, start, _ = last_batch()
    content = files[FIRST_SEGMENT]
    for first in range(512, start, 8):
        for size in (8, 64, 512):
            left = content[:first] + bytes(min(size, start - first)) + content[min(first + size, start) :]
            if left == content:
                continue
            with pytest.raises(CorruptLogError):
                recover(ScriptedDisk.holding(files | {FIRST_SEGMENT: left}))


def test_a_lost_sector_in_any_batch_but_the_last_is_damage() -> None:
    """It looks like a torn write, but the next batch attests that everything before it was synced."""
    disk = ScriptedDisk()
    storage = storage_on(disk)
    storage.recover()
    for index in range(1, 5):
        storage.append(None, [entry(index, 1, b"\x01" * 1700)])
        storage.sync()
    content = disk.copy()[FIRST_SEGMENT]
    last = [record.offset for record in inspect_directory(DATA, filesystem=disk)][-1]
    for first in range(SECTOR_BYTES, last, SECTOR_BYTES):
        lost = slice(first, min(first + SECTOR_BYTES, last))
        left = content[: lost.start] + bytes(lost.stop - lost.start) + content[lost.stop :]
        message = r"although the record at byte \d+ was written later|before the file is named"
        with pytest.raises(CorruptLogError, match=message):
            recover(ScriptedDisk.holding(disk.copy() | {FIRST_SEGMENT: left}))


def test_a_missing_batch_before_a_later_one_is_damage() -> None:
    files, start, _ = last_batch()
    records = list(inspect_directory(DATA, filesystem=ScriptedDisk.holding(files)))
    content = files[FIRST_SEGMENT]
    for record in records[:-4]:
        removed = content[: record.offset] + content[record.offset + record.size :]
        zeroed = content[: record.offset] + bytes(start - record.offset) + content[start:]
        for left in (removed, zeroed):
            with pytest.raises(CorruptLogError):
                recover(ScriptedDisk.holding(files | {FIRST_SEGMENT: left}))


def test_swapped_records_are_damage() -> None:
    disk = ScriptedDisk()
    storage = storage_on(disk)
    storage.recover()
    for index in (1, 2, 3):
        storage.append(None, [entry(index)])
        storage.sync()
    first, second = list(inspect_directory(DATA, filesystem=disk))[1:3]
    assert first.size == second.size
    content = disk.copy()[FIRST_SEGMENT]
    one, two = (content[record.offset : record.offset + record.size] for record in (first, second))
    swapped = content.replace(one + two, two + one)
    assert swapped != content
    with pytest.raises(CorruptLogError, match="belongs to another position"):
        recover(ScriptedDisk.holding(disk.copy() | {FIRST_SEGMENT: swapped}))


def test_a_record_of_another_history_is_damage() -> None:
    """It has the same position in the same segment of the same node, but another predecessor."""
    contents = []
    for data in (b"one", b"two"):
        disk = ScriptedDisk()
        storage = storage_on(disk)
        storage.recover()
        storage.append(None, [entry(1, 1, data)])
        storage.append(None, [entry(2)])
        storage.sync()
        contents.append(disk.copy()[FIRST_SEGMENT])
    second = list(inspect_directory(DATA, filesystem=disk))[2].offset
    mixed = contents[0][:second] + contents[1][second:]
    with pytest.raises(CorruptLogError, match="does not follow the previous record"):
        recover(ScriptedDisk.holding(disk.copy() | {FIRST_SEGMENT: mixed}))


def test_after_closing_nothing_is_torn() -> None:
    """Closing syncs everything and records the end of the log, so anything missing was lost."""
    disk, storage = three_batches()
    storage.close()
    files = disk.copy()
    content = files[FIRST_SEGMENT]
    end = len(content.rstrip(b"\0"))
    for cut in range(512, end):
        for left in (content[:cut], content[:cut].ljust(len(content), b"\0")):
            with pytest.raises(CorruptLogError, match=r"node\.json shows|before the file is named"):
                recover(ScriptedDisk.holding(files | {FIRST_SEGMENT: left}))


def test_after_a_restart_no_recovered_data_is_torn() -> None:
    files, start, _ = last_batch()
    disk = ScriptedDisk.holding(files)
    recover(disk)
    left = changed(disk, FIRST_SEGMENT, lambda data: data[: start + 30])
    with pytest.raises(CorruptLogError, match=r"node\.json shows"):
        recover(left)


def test_copies_of_records_in_an_entry_are_not_mistaken_for_records() -> None:
    """A client may store part of a log, which must not make a torn write look like damage."""
    disk, _ = three_batches()
    chunk = disk.copy()[FIRST_SEGMENT].rstrip(b"\0")
    disk = ScriptedDisk()
    storage = storage_on(disk)
    storage.recover()
    storage.append(None, [Entry(1, 1, entry(1).kind, chunk * 3)])
    storage.sync()
    end = len(disk.copy()[FIRST_SEGMENT].rstrip(b"\0"))
    torn = changed(disk, FIRST_SEGMENT, lambda data: data[: end - 100])
    assert recover(torn).entries == []


def test_a_torn_record_before_a_valid_one_of_the_same_batch_is_cut_off() -> None:
    """Later valid records prove nothing unless they attest that earlier data was synced."""
    disk = ScriptedDisk()
    storage = storage_on(disk)
    storage.recover()
    storage.append(None, [entry(1, 1, b"\x01" * 2000), entry(2)])
    storage.sync()
    lost = changed(disk, FIRST_SEGMENT, lambda data: data[:1024] + bytes(512) + data[1536:])
    found = recover(lost)
    assert found.entries == []
    assert found.torn_bytes > 2000


def test_only_the_newest_segment_may_be_torn() -> None:
    disk = several_segments()
    for name in ("0000000001.log", "0000000002.log", "0000000003.log"):
        path = DATA / name
        end = len(disk.copy()[path].rstrip(b"\0"))
        for cut in (end - 1, end - 70, 600):
            damaged = changed(disk, path, lambda data, cut=cut: data[:cut])
            with pytest.raises(CorruptLogError, match=r"newest|follows"):
                recover(damaged)


def test_data_behind_the_end_of_an_older_segment_is_damage() -> None:
    disk = several_segments()
    damaged = changed(disk, FIRST_SEGMENT, lambda data: data[:-1] + b"\1")
    with pytest.raises(CorruptLogError, match="in a segment that is not the newest"):
        recover(damaged)


def test_a_single_torn_byte_of_a_first_append() -> None:
    disk = ScriptedDisk()
    storage_on(disk).recover()
    end = len(disk.copy()[FIRST_SEGMENT].rstrip(b"\0"))
    torn = changed(disk, FIRST_SEGMENT, lambda data: data[:end] + b"\xd3" + data[end + 1 :])
    assert recover(torn) == recovered(HardState(), [], 1)
    assert NODE_FILE in torn.names
