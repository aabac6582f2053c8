"""One run of the benchmark: how long it measures, and what it has found so far."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.errors import MissingError
from tests.benchmarks.systems.system import System

Record = dict[str, Any]
"""One measurement: `part`, `system`, `round`, what was measured, and the numbers."""


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    rounds: int = 3
    seconds: float = 5.0
    warm_up_seconds: float = 1.0
    failovers: int = 30
    """Of ours; the others have a third of it."""
    restart_entries: int = 100_000
    memory_keys: int = 1_000_000
    memory_seconds: float = 60.0
    """How long the keys are written over."""
    snapshot_keys: int = 25_000
    """Of 4 KiB each."""
    snapshot_seconds: float = 30.0
    simulated_seeds: int = 200
    checked_operations: int = 100_000


FULL = Extent()
QUICK = Extent(
    rounds=1,
    seconds=1.0,
    warm_up_seconds=0.5,
    failovers=3,
    restart_entries=10_000,
    memory_keys=50_000,
    memory_seconds=5.0,
    snapshot_keys=25_000,
    snapshot_seconds=10.0,
    simulated_seeds=20,
    checked_operations=10_000,
)


@dataclass
class Session:
    """What the parts share."""

    directory: Path
    extent: Extent
    records: list[Record] = field(default_factory=list)

    def record(self, part: str, system: str, round_number: int, **numbers: Any) -> None:
        """Keep one measurement."""
        self.records.append({"part": part, "system": system, "round": round_number, **numbers})

    def note(self, part: str, system: str, why: str) -> None:
        """Keep, and say, why something was not measured."""
        self.record(part, system, 0, not_measured=why)
        self.say(f"{part}: {system} is not measured: {why}")

    def say(self, line: str) -> None:
        """Tell who waits what is going on."""
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    def plan(self, mix: str, outstanding: int, **more: Any) -> dict[str, Any]:
        """A load of the usual length."""
        extent = self.extent
        plan = {"seconds": extent.seconds, "warm_up_seconds": extent.warm_up_seconds, "value_bytes": 256}
        return {"mix": mix, "outstanding": outstanding, **plan, **more}

    @contextlib.contextmanager
    def paused(self, part: str, *makers: "Callable[[Path], System]") -> Iterator[list[System]]:
        """Start systems one after the other, each in a directory of its own, and pause them; ends them afterwards."""
        with contextlib.ExitStack() as stack:
            systems: list[System] = []
            for number, make in enumerate(makers):
                try:
                    system = make(self.directory / f"{part}-{number}")
                except MissingError as error:
                    self.note(part, str(getattr(make, "name", number)), str(error))
                    continue
                stack.callback(system.stop)
                self.say(f"{part}: starting {system.name}")
                system.start()
                system.pause()
                systems.append(system)
            yield systems

    @contextlib.contextmanager
    def running(self, part: str, make: "Callable[[Path], System]") -> Iterator[System]:
        """One system that runs; ends it afterwards. Raises MissingError when it is not installed."""
        system = make(self.directory / part)
        try:
            self.say(f"{part}: starting {system.name}")
            system.start()
            yield system
        finally:
            system.stop()

    def measure(self, part: str, system: System, round_number: int, plan: dict[str, Any], **more: Any) -> None:
        """Put one load on one system."""
        found = system.measure(plan)
        self.record(part, system.name, round_number, **found, **more)
        self.say(
            f"{part}, round {round_number}: {system.name} {plan['mix']}, {plan['outstanding']} at a time: "
            f"{found['per_second']:,.0f}/s, p50 {found['p50_ms']:.2f} ms"
        )

    def rounds(self, systems: list[System]) -> Iterator[tuple[int, System]]:
        """Each system in each round, alone; who comes first changes."""
        for number in range(1, self.extent.rounds + 1):
            first = (number - 1) % max(len(systems), 1)
            for system in [*systems[first:], *systems[:first]]:
                with system.only():
                    yield number, system
