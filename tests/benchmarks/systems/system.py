"""What a part of the benchmark can do with any of the systems."""

import contextlib
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.errors import BenchmarkError
from tests.benchmarks.processes import Worker, worker

SETTLE_SECONDS_MAX = 60.0
POLL_SECONDS = 0.02
AFTER_RESUMING_SECONDS = 0.5
"""Those that were paused may miss their leader and elect another."""
DRIVER = "tests.benchmarks.driver"


@dataclass(frozen=True)
class Timing:
    """Time-outs of the protocol in milliseconds; None: the system's own default."""

    election_ms: tuple[int, int] | None = None
    heartbeat_ms: int | None = None


DEFAULT_TIMING = Timing()
SAME_TIMING = Timing((150, 300), 50)
"""Ours by default; the others are told the same for the comparison of fail-overs."""


class Probe(ABC):
    """A client that begins a write every 2 ms, from when it is made until `stop`."""

    @abstractmethod
    def wait(self) -> None:
        """Return when its first write is acknowledged."""

    @abstractmethod
    def stop(self) -> list[tuple[int, int]]:
        """End it; (begun, acknowledged) of every write that was, in monotonic nanoseconds."""


class System(ABC):
    """A cluster that is started, paused while others are measured, and ended."""

    name: str

    def __init__(self, directory: Path, nodes: int = 3, timing: Timing = DEFAULT_TIMING) -> None:
        self.directory = directory
        self.nodes = nodes
        self.timing = timing
        directory.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def start(self) -> None:
        """Start every node that does not run; returns when there is a leader that all follow."""

    @abstractmethod
    def stop(self) -> None:
        """kill -9 all nodes, paused or not. Their data stays."""

    @abstractmethod
    def process_ids(self) -> dict[str, int]:
        """The processes of those nodes that run, by node."""

    @abstractmethod
    def leader(self) -> str | None:
        """The node that leads, if all that run agree."""

    @abstractmethod
    def pause(self) -> None:
        """Hold all nodes."""

    @abstractmethod
    def resume(self) -> None:
        """Let them go on; returns when there is a leader that all follow."""

    @abstractmethod
    def kill(self, node: str) -> None:
        """kill -9."""

    @abstractmethod
    def measure(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Put a load on it; the measurement as `raftctl bench --json` has it."""

    @abstractmethod
    def fill(self, plan: dict[str, Any], seconds_max: float) -> float:
        """Write every key of the plan once; returns the seconds that took."""

    @abstractmethod
    @contextlib.contextmanager
    def probe(self) -> Iterator[Probe]:
        """Begin to write; it goes on at the nodes that are left when some are killed."""

    @abstractmethod
    def transfer(self) -> None:
        """Have the leader hand over to another node."""

    def wait_for_leader(self) -> str:
        """The leader, as soon as there is one."""
        found: list[str] = []

        def is_found() -> bool:
            found[:] = [leader] if (leader := self.leader()) is not None else []
            return bool(found)

        wait_until(is_found, f"{self.name}: no leader that all follow")
        return found[0]

    def resident_bytes(self) -> dict[str, int]:
        """Memory of each node that runs."""
        return {node: psutil.Process(pid).memory_info().rss for node, pid in self.process_ids().items()}

    @contextlib.contextmanager
    def only(self) -> "Iterator[System]":
        """It runs, and is paused again afterwards."""
        self.resume()
        time.sleep(AFTER_RESUMING_SECONDS)
        self.wait_for_leader()
        try:
            yield self
        finally:
            self.pause()


def wait_until(holds: Callable[[], bool], missing: str, seconds_max: float = SETTLE_SECONDS_MAX) -> None:
    """Wait; BenchmarkError when it does not hold by then."""
    deadline = time.monotonic() + seconds_max
    while not holds():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{missing} within {seconds_max:g} s")
        time.sleep(POLL_SECONDS)


def drive(
    log: Path, what: str, system: str, endpoints: Sequence[str], plan: dict[str, Any], *, seconds_max: float
) -> dict[str, Any]:
    """Let a measuring process do one request."""
    with worker(DRIVER, (), log) as driver:
        answer: dict[str, Any] = driver.ask(seconds_max, do=what, system=system, endpoints=[*endpoints], plan=plan)
        return answer


def measurement_seconds_max(plan: dict[str, Any]) -> float:
    """How long a measurement may take before it counts as stuck."""
    return float(plan.get("seconds", 5.0)) * 2 + 60


class DriverProbe(Probe):
    """A measuring process that writes until told to stop."""

    def __init__(self, driver: Worker) -> None:
        self._driver = driver

    def wait(self) -> None:
        self._driver.answer(SETTLE_SECONDS_MAX)

    def stop(self) -> list[tuple[int, int]]:
        self._driver.tell(do="stop")
        return [(began, ended) for began, ended in self._driver.answer(30)]


@contextlib.contextmanager
def driver_probe(log: Path, system: str, endpoints: Sequence[str]) -> Iterator[Probe]:
    """A probe in a measuring process."""
    plan = {"mix": "put", "outstanding": 1, "prefix": "probe"}
    with worker(DRIVER, (), log) as driver:
        driver.ask(do="probe", system=system, endpoints=[*endpoints], plan=plan)
        yield DriverProbe(driver)


def end_all(processes: "Sequence[subprocess.Popen[str]]") -> None:
    """kill -9 processes that hold nothing that is still wanted."""
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()
