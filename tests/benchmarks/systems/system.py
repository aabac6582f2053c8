"""Interface of the systems under comparison."""

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

START_SECONDS_MAX = 60.0
POLL_SECONDS = 0.02
AFTER_RESUMING_SECONDS = 0.5
"""Pause after resuming nodes, which may elect another leader first."""
DRIVER = "tests.benchmarks.driver"


@dataclass(frozen=True)
class Timing:
    """Time-outs of the protocol in milliseconds; None: the system's own default."""

    election_ms: tuple[int, int] | None = None
    heartbeat_ms: int | None = None


DEFAULT_TIMING = Timing()
SAME_TIMING = Timing((150, 300), 50)
"""raft_pkg's default time-outs, for all systems in the comparison of failovers."""


class Probe(ABC):
    """A client that starts a write every 2 ms, from its creation until `stop`."""

    @abstractmethod
    def wait(self) -> None:
        """Wait until the first write is acknowledged."""

    @abstractmethod
    def stop(self) -> list[tuple[int, int]]:
        """Stop; return (start, acknowledgement) of every acknowledged write, in ns of the monotonic clock."""


class System(ABC):
    """A cluster that is started, paused while others are measured, and stopped."""

    name: str

    def __init__(self, directory: Path, nodes: int = 3, timing: Timing = DEFAULT_TIMING) -> None:
        self.directory = directory
        self.nodes = nodes
        self.timing = timing
        directory.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def start(self) -> None:
        """Start every node that is not running, and wait until all follow one leader."""

    @abstractmethod
    def stop(self) -> None:
        """Kill all nodes (SIGKILL), paused or not. Keep their data."""

    @abstractmethod
    def process_ids(self) -> dict[str, int]:
        """Return the process id of each running node."""

    @abstractmethod
    def leader(self) -> str | None:
        """Return the leader, or None if the running nodes disagree."""

    @abstractmethod
    def pause(self) -> None:
        """Pause all nodes (SIGSTOP)."""

    @abstractmethod
    def resume(self) -> None:
        """Resume all nodes, and wait until all follow one leader."""

    @abstractmethod
    def kill(self, node: str) -> None:
        """Kill a node (SIGKILL)."""

    @abstractmethod
    def measure(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Measure a load; return a measurement in the form of `raftctl bench --json`."""

    @abstractmethod
    def fill(self, plan: dict[str, Any], seconds_max: float) -> float:
        """Write every key of the plan once; return the duration in seconds."""

    @abstractmethod
    @contextlib.contextmanager
    def probe(self) -> Iterator[Probe]:
        """Start a probe, which continues on the remaining nodes when some are killed."""

    @abstractmethod
    def transfer(self) -> None:
        """Transfer leadership to another node."""

    def wait_for_leader(self) -> str:
        """Wait for a leader that all running nodes follow, and return it."""
        found: list[str] = []

        def is_found() -> bool:
            found[:] = [leader] if (leader := self.leader()) is not None else []
            return bool(found)

        wait_until(is_found, f"{self.name}: no leader that all follow")
        return found[0]

    def resident_bytes(self) -> dict[str, int]:
        """Return the resident memory of each running node."""
        return {node: psutil.Process(pid).memory_info().rss for node, pid in self.process_ids().items()}

    @contextlib.contextmanager
    def only(self) -> "Iterator[System]":
        """Resume the system for the block, and pause it afterwards."""
        self.resume()
        time.sleep(AFTER_RESUMING_SECONDS)
        self.wait_for_leader()
        try:
            yield self
        finally:
            self.pause()


def wait_until(holds: Callable[[], bool], missing: str, seconds_max: float = START_SECONDS_MAX) -> None:
    """Wait until a condition holds. Raise `BenchmarkError` if it does not within `seconds_max`."""
    deadline = time.monotonic() + seconds_max
    while not holds():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{missing} within {seconds_max:g} s")
        time.sleep(POLL_SECONDS)


def drive(
    log: Path, what: str, system: str, endpoints: Sequence[str], plan: dict[str, Any], *, seconds_max: float
) -> dict[str, Any]:
    """Execute one request in a new measuring process."""
    with worker(DRIVER, (), log) as driver:
        result: dict[str, Any] = driver.request(seconds_max, do=what, system=system, endpoints=[*endpoints], plan=plan)
        return result


def measurement_seconds_max(plan: dict[str, Any]) -> float:
    """Return the deadline of a measurement in seconds."""
    return float(plan.get("seconds", 5.0)) * 2 + 60


class DriverProbe(Probe):
    """A probe in a measuring process."""

    def __init__(self, driver: Worker) -> None:
        self._driver = driver

    def wait(self) -> None:
        self._driver.receive(START_SECONDS_MAX)

    def stop(self) -> list[tuple[int, int]]:
        self._driver.send(do="stop")
        return [(began, ended) for began, ended in self._driver.receive(30)]


@contextlib.contextmanager
def driver_probe(log: Path, system: str, endpoints: Sequence[str]) -> Iterator[Probe]:
    """Start a probe in a measuring process."""
    plan = {"mix": "put", "outstanding": 1, "prefix": "probe"}
    with worker(DRIVER, (), log) as driver:
        driver.request(do="probe", system=system, endpoints=[*endpoints], plan=plan)
        yield DriverProbe(driver)


def end_all(processes: "Sequence[subprocess.Popen[str]]") -> None:
    """Kill processes (SIGKILL), and wait for their end."""
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()
