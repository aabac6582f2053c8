"""The memory storage is as strict as the file storage, and a crash loses unsynced data."""

import pytest
from samples import INCARNATION, entries, entry, recovered

from raft_pkg.core.types import HardState
from raft_pkg.errors import StorageError
from raft_pkg.storage import MemoryStorage


@pytest.fixture
def storage() -> MemoryStorage:
    """Return a storage of three synced entries; a term, a new third and a fourth entry are unsynced."""
    storage = MemoryStorage(new_incarnation=lambda: INCARNATION)
    assert storage.recover() == recovered(HardState(), [], 0)
    storage.append(HardState(1, "raft-1"), entries(1, 3))
    storage.sync()
    storage.append(HardState(2, None), entries(3, 4, 2))
    return storage


def test_a_sync_makes_everything_durable(storage: MemoryStorage) -> None:
    storage.sync()
    assert storage.unsynced == 0
    storage.crash()
    assert storage.recover() == recovered(HardState(2, None), [*entries(1, 2), *entries(3, 4, 2)], 0)


@pytest.mark.parametrize(
    ("survivors", "state", "log"),
    [
        (0, HardState(1, "raft-1"), entries(1, 3)),
        (1, HardState(2, None), entries(1, 3)),
        (2, HardState(2, None), [*entries(1, 2), entry(3, 2)]),
        (3, HardState(2, None), [*entries(1, 2), *entries(3, 4, 2)]),
    ],
)
def test_a_crash_loses_unsynced_records(storage: MemoryStorage, survivors: int, state: HardState, log: list) -> None:
    assert storage.unsynced == 3
    storage.crash(survivors=survivors)
    assert storage.recover() == recovered(state, log, 0)
    storage.append(None, [entry(len(log) + 1, 2)])
    storage.sync()
    storage.crash()
    assert storage.recover() == recovered(state, [*log, entry(len(log) + 1, 2)], 0)


def test_a_torn_record_is_reported_once(storage: MemoryStorage) -> None:
    storage.crash(survivors=1, torn_bytes=13)
    assert storage.recover().torn_bytes == 13
    storage.crash()
    assert storage.recover().torn_bytes == 0


@pytest.mark.parametrize("crash", [{"survivors": 4}, {"survivors": -1}, {"survivors": 3, "torn_bytes": 1}])
def test_an_impossible_crash_is_rejected(storage: MemoryStorage, crash: dict) -> None:
    with pytest.raises(ValueError, match=r"can't survive|no record is left"):
        storage.crash(**crash)


def test_closing_loses_nothing(storage: MemoryStorage) -> None:
    storage.close()
    storage.close()
    assert storage.recover().entries == [*entries(1, 2), *entries(3, 4, 2)]


def test_use_before_recovery_and_after_the_end_is_rejected(storage: MemoryStorage) -> None:
    with pytest.raises(StorageError, match="called before"):
        storage.recover()
    storage.crash()
    with pytest.raises(StorageError, match="the node has crashed"):
        storage.append(None, entries(4, 4))
    with pytest.raises(StorageError, match="the node has crashed"):
        storage.sync()
    with pytest.raises(StorageError, match="has not been called"):
        MemoryStorage().sync()


def test_a_failed_storage_fails_until_it_is_recovered(storage: MemoryStorage) -> None:
    storage.fail("Input/output error")
    for _ in range(2):
        with pytest.raises(StorageError, match="Input/output error"):
            storage.sync()
    storage.crash()
    assert storage.recover().entries == entries(1, 3)


@pytest.mark.parametrize(
    ("state", "batch"),
    [(HardState(1), []), (None, entries(6, 6, 2)), (None, [entry(5, 2), entry(7, 2)]), (None, entries(0, 1, 2))],
)
def test_an_invalid_append_is_rejected(storage: MemoryStorage, state: HardState | None, batch: list) -> None:
    with pytest.raises(ValueError, match=r"would decrease|can't"):
        storage.append(state, batch)
    assert storage.unsynced == 3


def test_a_sync_of_invalid_records_is_rejected(storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft_pkg.storage.memory.check_append", lambda *_: None)
    storage.append(None, [entry(9)])
    with pytest.raises(StorageError, match="entry 9 can't be appended to a log of entries 1 to 4"):
        storage.sync()


def test_an_append_of_nothing_does_nothing(storage: MemoryStorage) -> None:
    storage.append(None, [])
    assert storage.unsynced == 3


def test_recovered_entries_are_a_copy(storage: MemoryStorage) -> None:
    storage.sync()
    storage.crash()
    storage.recover().entries.clear()
    storage.crash()
    assert len(storage.recover().entries) == 4
