"""Crashes at every step and in any order: synced data survives, and at most a prefix of the rest."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from samples import DATA, MEMBERS, NODE_FILE, entry, segment_path, snapshot_path, storage_on
from scripted_disk import ScriptedDisk

from raft_pkg.core.types import Entry, HardState
from raft_pkg.storage import FileStorage, Recovered
from raft_pkg.storage.interface import random_incarnation
from raft_testbed.simulation.disk import SimulatedCrash

SEGMENT_BYTES = 1000


@dataclass(frozen=True)
class Committed:
    """A committed snapshot."""

    index: int
    term: int
    data: bytes


Value = HardState | Entry | Committed


@dataclass
class State:
    """The state that results from a list of values."""

    hard_state: HardState = field(default_factory=HardState)
    base_index: int = 0
    base_term: int = 0
    log: list[Entry] = field(default_factory=list)
    """All entries after `base_index`, including compacted ones."""
    snapshot: Committed | None = None

    @property
    def last(self) -> tuple[int, int]:
        """Index and term of the last entry."""
        return (self.log[-1].index, self.log[-1].term) if self.log else (self.base_index, self.base_term)

    @property
    def snapshot_index(self) -> int:
        return self.snapshot.index if self.snapshot else 0

    def add(self, value: Value) -> None:
        if isinstance(value, HardState):
            self.hard_state = value
        elif isinstance(value, Entry):
            self.log = [*self.log[: value.index - self.base_index - 1], value]
        else:
            self.snapshot = value
            if (value.index, value.term) not in [(e.index, e.term) for e in self.log]:
                self.base_index, self.base_term, self.log = value.index, value.term, []

    def matches(self, found: Recovered, data: bytes, compacted: int) -> bool:
        """Return whether `found` equals this state, except for entries compacted up to an index."""
        gone = found.base_index - self.base_index
        if not 0 <= gone <= max(0, compacted - self.base_index):
            return False
        base_term = self.log[gone - 1].term if gone else self.base_term
        taken = found.snapshot and Committed(found.snapshot.index, found.snapshot.term, data)
        return (self.hard_state, base_term, self.log[gone:], self.snapshot) == (
            found.hard_state, found.base_term, found.entries, taken,
        )  # fmt: skip


class Model:
    """The expected content of a storage: a list of values, the first of which are synced."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.synced = 0
        self.compacted = 0
        self.incarnation = 0

    def after(self, count: int) -> State:
        """Return the state that results from the first values."""
        held = State()
        for value in self.values[:count]:
            held.add(value)
        return held

    @property
    def held(self) -> State:
        return self.after(len(self.values))

    def require(self, storage: FileStorage) -> None:
        """Assert that the recovered state results from the synced values and a prefix of the others."""
        found = storage.recover()
        assert found.incarnation == self.incarnation or not self.incarnation
        self.incarnation = found.incarnation
        data = storage.read_snapshot(0, 1 << 20) if found.snapshot else b""
        assert found.snapshot is None or crc32(data) == found.snapshot.checksum
        for count in range(self.synced, len(self.values) + 1):
            if self.after(count).matches(found, data, self.compacted):
                self.values = self.values[:count]
                self.synced = count
                return
        raise AssertionError(f"{found} does not result from {self.values}, of which {self.synced} were synced")

    def append(self, storage: FileStorage, values: list[HardState | Entry]) -> None:
        """Append at most one hard state, followed by entries."""
        self.values += values
        states = [value for value in values if isinstance(value, HardState)]
        storage.append(states[0] if states else None, [value for value in values if isinstance(value, Entry)])

    def sync(self, storage: FileStorage) -> None:
        storage.sync()
        self.synced = len(self.values)

    def take(self, storage: FileStorage, taken: Committed) -> None:
        """Write a snapshot in two chunks and commit it."""
        writer = storage.begin_snapshot(taken.index, taken.term, MEMBERS)
        writer.write(taken.data[:5])
        writer.write(taken.data[5:])
        self.values.append(taken)
        writer.commit()
        self.synced = len(self.values)

    def compact(self, storage: FileStorage, index: int) -> None:
        self.compacted = max(self.compacted, index)
        storage.compact(index)


def run(disk: ScriptedDisk, model: Model, steps: int) -> FileStorage:
    """Recover and append; may end in a crash."""
    storage = storage_on(disk, segment_bytes=SEGMENT_BYTES, new_incarnation=random_incarnation)
    model.require(storage)
    for _ in range(steps):
        held = model.held
        term = held.hard_state.current_term + 1
        first = max(held.snapshot_index, held.last[0] - term % 3) + 1
        model.append(storage, [HardState(term, "raft-1"), entry(first, term, bytes([term]) * 150)])
        model.sync(storage)
    return storage


def run_with_snapshots(disk: ScriptedDisk, model: Model, steps: int) -> FileStorage:
    """Recover and append; in every other step, take a snapshot and compact the log, or install a snapshot."""
    storage = run(disk, model, 0)
    for _ in range(steps):
        held = model.held
        term = held.hard_state.current_term + 1
        index, _ = held.last
        model.append(storage, [HardState(term, None), *(entry(index + more, term, b"x" * 200) for more in (1, 2, 3))])
        match term % 4:
            case 0:
                model.take(storage, Committed(index + 2, term, b"taken in term %d" % term))
                model.compact(storage, index + 1)
            case 2:
                model.take(storage, Committed(index + 9, term, b"installed in term %d" % term))
            case _:
                model.sync(storage)
    return storage


def crash_at(disk: ScriptedDisk, number: int) -> None:
    """Crash after `number` + 1 further operations of the disk."""
    operations = iter(range(number + 1))

    def before(_operation: str, _path: Path) -> None:
        if next(operations, None) is None:
            raise SimulatedCrash

    disk.before = before


Run = Callable[[ScriptedDisk, Model, int], FileStorage]


@pytest.mark.parametrize(
    "disaster", ["nothing unsynced is left", "all is left", "names and sizes are left", "random", "kill"]
)
@pytest.mark.parametrize(
    ("work", "steps", "made"),
    [(run, 12, [segment_path(4)]), (run_with_snapshots, 9, [segment_path(9), snapshot_path(35)])],
)
def test_a_crash_before_any_operation(work: Run, steps: int, made: list[Path], disaster: str) -> None:
    """Covers every call of creating a directory, adding segments and snapshots, and closing."""
    for number in range(400):
        disk = ScriptedDisk()
        model = Model()
        crash_at(disk, number)
        try:
            work(disk, model, steps).close()
        except SimulatedCrash:
            pass
        else:
            assert set(made) <= set(disk.names)
            assert number > 60
            return
        rng = random.Random(number)
        match disaster:
            case "nothing unsynced is left":
                disk.cut_power(lambda _count: 0)
            case "all is left":
                disk.lose_power(lambda count: count - 1, lambda file: file.lose_power(lambda: True))
            case "names and sizes are left":
                disk.cut_power(lambda count: count - 1)
            case "random":
                disk.cut_power(rng.randrange)
            case "kill":
                disk.kill_process()
        work(disk, model, 1 + number % 2 * 3)
        disk.cut_power(lambda _count: 0)
        work(disk, model, 1)
        require_no_obsolete_files(disk)
    pytest.fail("the run did not finish")


def require_no_obsolete_files(disk: ScriptedDisk) -> None:
    names = [path for path in disk.names if path.parent == DATA]
    oldest = json.loads(disk.copy()[NODE_FILE])["oldest_segment"]
    assert not [path for path in names if path.suffix == ".tmp"]
    assert not [path for path in names if path.suffix == ".log" and path < segment_path(oldest)]
    assert len([path for path in names if path.suffix == ".snapshot"]) <= 1


@pytest.mark.parametrize("work", [run, run_with_snapshots])
def test_crashes_during_recovery_from_crashes(work: Run) -> None:
    for seed in range(150):
        rng = random.Random(seed)
        disk = ScriptedDisk()
        model = Model()
        for _ in range(8):
            crash_at(disk, rng.randrange(25 if work is run else 60))
            try:
                work(disk, model, 6).close()
            except SimulatedCrash:
                disk.cut_power(rng.randrange)


class LogOfOneNode(RuleBasedStateMachine):
    """Compares the file storage with the model, over random operations and power losses."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = ScriptedDisk()
        self.model = Model()
        self.storage: FileStorage | None = None

    @precondition(lambda self: self.storage is None)
    @rule(segment_bytes=st.sampled_from([600, 2000, 100_000]), preallocation_bytes=st.sampled_from([1, 512, 4096]))
    def start(self, segment_bytes: int, preallocation_bytes: int) -> None:
        storage = storage_on(self.disk, segment_bytes=segment_bytes, preallocation_bytes=preallocation_bytes)
        self.model.require(storage)
        self.storage = storage

    @precondition(lambda self: self.storage is not None)
    @rule(
        terms=st.integers(0, 2),
        vote=st.none() | st.sampled_from(["raft-0", "raft-1"]),
        back=st.integers(0, 3),
        sizes=st.lists(st.sampled_from([0, 1, 63, 64, 400, 512, 1500]), max_size=4),
        fill=st.sampled_from([b"\0", b"\1", b"\x1b"]),
    )
    def append(self, terms: int, vote: str | None, back: int, sizes: list[int], fill: bytes) -> None:
        held = self.model.held
        term = held.hard_state.current_term + terms
        first = max(held.snapshot_index, held.last[0] - back) + 1
        new = [entry(first + position, term, fill * size) for position, size in enumerate(sizes)]
        self.model.append(self.storage, [*([HardState(term, vote)] if terms else []), *new])

    @precondition(lambda self: self.storage is not None)
    @rule()
    def sync(self) -> None:
        self.model.sync(self.storage)

    @precondition(lambda self: self.storage is not None)
    @rule(back=st.integers(0, 4), size=st.sampled_from([0, 6, 2000]))
    def take_snapshot(self, back: int, size: int) -> None:
        """Replace entries of the log that no snapshot replaces yet."""
        held = self.model.held
        replaceable = [e for e in held.log if e.index > held.snapshot_index]
        if replaceable:
            last = replaceable[max(0, len(replaceable) - 1 - back)]
            self.model.take(self.storage, Committed(last.index, last.term, b"s" * size))

    @precondition(lambda self: self.storage is not None)
    @rule(offset=st.integers(-3, 20))
    def install_snapshot(self, offset: int) -> None:
        """Install a newer leader's snapshot: past the log, or in another term than the log's entry."""
        held = self.model.held
        index = max(held.last[0] + offset, held.snapshot_index + 1)
        self.model.take(self.storage, Committed(index, held.hard_state.current_term + 1, b"installed"))
        self.model.append(self.storage, [HardState(held.hard_state.current_term + 1, None)])

    @precondition(lambda self: self.storage is not None)
    @rule(back=st.integers(0, 4))
    def compact(self, back: int) -> None:
        self.model.compact(self.storage, max(0, self.model.held.snapshot_index - back))

    @precondition(lambda self: self.storage is not None)
    @rule(is_discarded=st.booleans(), seed=st.integers(0, 1 << 32))
    def abandon_a_snapshot(self, is_discarded: bool, seed: int) -> None:
        writer = self.storage.begin_snapshot(self.model.held.snapshot_index + 3, 77, MEMBERS)
        writer.write(b"half")
        if is_discarded:
            writer.discard()
        else:
            self.lose_power(seed)

    @precondition(lambda self: self.storage is not None)
    @rule(operations=st.integers(0, 25), offset=st.integers(0, 5), seed=st.integers(0, 1 << 32))
    def crash_during_a_snapshot(self, operations: int, offset: int, seed: int) -> None:
        crash_at(self.disk, operations)
        try:
            self.install_snapshot(offset)
            self.compact(0)
        except SimulatedCrash:
            pass
        self.lose_power(seed)

    @precondition(lambda self: self.storage is not None)
    @rule()
    def close(self) -> None:
        self.storage.close()
        self.disk.kill_process()
        self.storage = None

    @rule()
    def kill(self) -> None:
        self.disk.kill_process()
        self.storage = None

    @rule(seed=st.integers(0, 1 << 32))
    def lose_power(self, seed: int) -> None:
        self.disk.cut_power(random.Random(seed).randrange)
        self.storage = None

    @precondition(lambda self: self.storage is not None)
    @invariant()
    def no_obsolete_file_is_left(self) -> None:
        require_no_obsolete_files(self.disk)


TestLogOfOneNode = LogOfOneNode.TestCase
TestLogOfOneNode.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
