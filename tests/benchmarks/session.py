"""One run of the benchmarks: its extent, and the measurements so far."""

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
"""One measurement: `part`, `system`, `round`, parameters and results."""


@dataclass(frozen=True)
class Extent:
    """Durations and sizes of the measurements."""

    rounds: int = 3
    seconds: float = 5.0
    warm_up_seconds: float = 1.0
    failovers: int = 30
    """Number of failovers of raft_pkg; the other systems have a third of it."""
    restart_entries: int = 100_000
    memory_keys: int = 1_000_000
    memory_seconds: float = 60.0
    """Duration of overwriting the keys."""
    snapshot_keys: int = 25_000
    """Number of keys, with values of 4 KiB."""
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
    """State shared by the parts."""

    directory: Path
    extent: Extent
    records: list[Record] = field(default_factory=list)

    def record(self, part: str, system: str, round_number: int, **numbers: Any) -> None:
        """Add one measurement."""
        self.records.append({"part": part, "system": system, "round": round_number, **numbers})

    def note(self, part: str, system: str, why: str) -> None:
        """Record and log why a system was not measured."""
        self.record(part, system, 0, not_measured=why)
        self.log(f"{part}: {system} is not measured: {why}")

    def log(self, line: str) -> None:
        """Print progress to stderr."""
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    def plan(self, mix: str, outstanding: int, **more: Any) -> dict[str, Any]:
        """Return a plan with the session's durations."""
        extent = self.extent
        plan = {"seconds": extent.seconds, "warm_up_seconds": extent.warm_up_seconds, "value_bytes": 256}
        return {"mix": mix, "outstanding": outstanding, **plan, **more}

    @contextlib.contextmanager
    def paused(self, part: str, *makers: "Callable[[Path], System]") -> Iterator[list[System]]:
        """Start systems one after the other, in separate directories, and pause them; stop them at the end."""
        with contextlib.ExitStack() as stack:
            systems: list[System] = []
            for number, make in enumerate(makers):
                try:
                    system = make(self.directory / f"{part}-{number}")
                except MissingError as error:
                    self.note(part, str(getattr(make, "name", number)), str(error))
                    continue
                stack.callback(system.stop)
                self.log(f"{part}: starting {system.name}")
                system.start()
                system.pause()
                systems.append(system)
            yield systems

    @contextlib.contextmanager
    def running(self, part: str, make: "Callable[[Path], System]") -> Iterator[System]:
        """Start a system, and stop it at the end. Raise `MissingError` if it is not installed."""
        system = make(self.directory / part)
        try:
            self.log(f"{part}: starting {system.name}")
            system.start()
            yield system
        finally:
            system.stop()

    def measure(self, part: str, system: System, round_number: int, plan: dict[str, Any], **more: Any) -> None:
        """Measure one load on one system."""
        found = system.measure(plan)
        self.record(part, system.name, round_number, **found, **more)
        self.log(
            f"{part}, round {round_number}: {system.name} {plan['mix']}, {plan['outstanding']} outstanding: "
            f"{found['per_second']:,.0f}/s, p50 {found['p50_ms']:.2f} ms"
        )

    def rounds(self, systems: list[System]) -> Iterator[tuple[int, System]]:
        """Yield each system in each round, with all others paused; rotate the order."""
        for number in range(1, self.extent.rounds + 1):
            first = (number - 1) % max(len(systems), 1)
            for system in [*systems[first:], *systems[:first]]:
                with system.only():
                    yield number, system
