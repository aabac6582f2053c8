"""Crashes at every step and in any order: what was synced is there, and of the rest at most a beginning."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from samples import DATA, entry, segment_path, storage_on
from simulated_disk import Crash, SimulatedDisk

from raft_pkg.core.types import Entry, HardState
from raft_pkg.storage import FileStorage, Recovered

Value = HardState | Entry


class Model:
    """What the log must hold: a simple list of values, some of which are synced."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.synced = 0

    def after(self, count: int) -> tuple[HardState, list[Entry]]:
        """What the first values add up to."""
        state = HardState()
        log: list[Entry] = []
        for value in self.values[:count]:
            if isinstance(value, HardState):
                state = value
            else:
                log = [*log[: value.index - 1], value]
        return state, log

    def require(self, found: Recovered) -> None:
        """The log is what the synced values, and some of those after them in order, add up to."""
        for count in range(self.synced, len(self.values) + 1):
            if self.after(count) == (found.hard_state, found.entries):
                self.values = self.values[:count]
                self.synced = count
                return
        raise AssertionError(f"{found} is not what {self.values} add up to, of which {self.synced} were synced")


def run(disk: SimulatedDisk, model: Model, steps: int) -> FileStorage:
    """Recover and write on; may end in a crash."""
    storage = storage_on(disk, segment_bytes=1000)
    model.require(storage.recover())
    for _ in range(steps):
        term = model.after(len(model.values))[0].current_term + 1
        last = len(model.after(len(model.values))[1])
        new: list[Value] = [HardState(term, "raft-1"), entry(max(1, last + 1 - term % 3), term, bytes([term]) * 150)]
        model.values += new
        storage.append(new[0], [new[1]])  # type: ignore[arg-type, list-item]
        storage.sync()
        model.synced = len(model.values)
    return storage


def crash_at(disk: SimulatedDisk, number: int) -> Callable[[], bool]:
    """Let the machine crash just before the operation of that number; returns whether it has."""
    operations = iter(range(number + 1))

    def before(_operation: str, _path: Path) -> None:
        if next(operations, None) is None:
            raise Crash

    disk.before = before
    return lambda: next(operations, None) is None


@pytest.mark.parametrize("disaster", ["nothing unsynced is left", "all is left", "chance", "kill"])
def test_a_crash_before_any_operation(disaster: str) -> None:
    """Over the making of a directory, eight segments and closing: every write, sync, rename, one after the other."""
    for number in range(200):
        disk = SimulatedDisk()
        model = Model()
        crash_at(disk, number)
        try:
            run(disk, model, 12).close()
        except Crash:
            pass
        else:
            assert segment_path(4) in disk.nodes
            assert number > 60
            return
        chance = random.Random(number)
        match disaster:
            case "nothing unsynced is left":
                disk.lose_power(lambda _count: 0)
            case "all is left":
                disk.lose_power(lambda count: count - 1)
            case "chance":
                disk.lose_power(chance.randrange)
            case "kill":
                disk.kill_process()
        run(disk, model, 1 + number % 2 * 3)
        disk.lose_power(lambda _count: 0)
        run(disk, model, 1)
        assert not [path for path in disk.nodes if path.suffix == ".tmp"]
    pytest.fail("the run never came to its end")


def test_crashes_during_the_recoveries_from_crashes() -> None:
    for seed in range(150):
        chance = random.Random(seed)
        disk = SimulatedDisk()
        model = Model()
        for _ in range(8):
            crash_at(disk, chance.randrange(25))
            try:
                run(disk, model, 6).close()
            except Crash:
                disk.lose_power(chance.randrange)


class LogOfOneNode(RuleBasedStateMachine):
    """The log in files against a list, with power cuts."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = SimulatedDisk()
        self.model = Model()
        self.storage: FileStorage | None = None

    @precondition(lambda self: self.storage is None)
    @rule(segment_bytes=st.sampled_from([600, 2000, 100_000]), ahead_bytes=st.sampled_from([1, 512, 4096]))
    def start(self, segment_bytes: int, ahead_bytes: int) -> None:
        storage = storage_on(self.disk, segment_bytes=segment_bytes, ahead_bytes=ahead_bytes)
        self.model.require(storage.recover())
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
        state, log = self.model.after(len(self.model.values))
        new_state = HardState(state.current_term + terms, vote) if terms else None
        first = max(1, len(log) + 1 - back)
        term = state.current_term + terms
        new = [entry(first + position, term, fill * size) for position, size in enumerate(sizes)]
        self.storage.append(new_state, new)
        self.model.values += [*([new_state] if new_state else []), *new]

    @precondition(lambda self: self.storage is not None)
    @rule()
    def sync(self) -> None:
        self.storage.sync()
        self.model.synced = len(self.model.values)

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
        self.disk.lose_power(random.Random(seed).randrange)
        self.storage = None

    @invariant()
    def names_are_known(self) -> None:
        assert all(path.suffix in ("", ".log", ".json") for path in self.disk.nodes if path.parent == DATA)


TestLogOfOneNode = LogOfOneNode.TestCase
TestLogOfOneNode.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
