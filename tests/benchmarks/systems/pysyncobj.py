"""PySyncObj with a journal, loaded from within the leader's process: it has no protocol for clients."""

import contextlib
import importlib.metadata
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raft_pkg.local.ports import HOST, choose_ports
from tests.benchmarks import processes
from tests.benchmarks.errors import BenchmarkError, MissingError
from tests.benchmarks.processes import Worker
from tests.benchmarks.systems.system import (
    DEFAULT_TIMING,
    SETTLE_SECONDS_MAX,
    Probe,
    System,
    Timing,
    end_all,
    measurement_seconds_max,
    wait_until,
)

NODE = "tests.benchmarks.systems.pysyncobj_node"


class PySyncObj(System):
    """Its journal is written through a memory map and never synced: what it acknowledges is not durable."""

    name = "PySyncObj"

    def __init__(self, directory: Path, nodes: int = 3, timing: Timing = DEFAULT_TIMING) -> None:
        super().__init__(directory, nodes, timing)
        if importlib.util.find_spec("pysyncobj") is None:
            raise MissingError("PySyncObj is not installed: pip install -r requirements-bench.txt")
        self._addresses = [f"{HOST}:{port}" for port in choose_ports(nodes)]
        self._workers: dict[str, Worker] = {}

    @staticmethod
    def version() -> str:
        return importlib.metadata.version("pysyncobj")

    def start(self) -> None:
        for address in self._addresses:
            if address not in self._workers or self._workers[address].process.poll() is not None:
                self._workers[address] = self._launch(address)
        self.wait_for_leader()

    def stop(self) -> None:
        end_all([worker.process for worker in self._workers.values()])

    def process_ids(self) -> dict[str, int]:
        return {node: worker.process.pid for node, worker in self._running().items()}

    def leader(self) -> str | None:
        try:
            told = {worker.ask(2.0, do="leader")["leader"] for worker in self._running().values()}
        except BenchmarkError:
            return None
        return told.pop() if len(told) == 1 else None

    def pause(self) -> None:
        processes.pause([*self.process_ids().values()])

    def resume(self) -> None:
        processes.resume([*self.process_ids().values()])
        self.start()

    def kill(self, node: str) -> None:
        end_all([self._workers[node].process])

    def measure(self, plan: dict[str, Any]) -> dict[str, Any]:
        leader = self.wait_for_leader()
        others = [pid for node, pid in self.process_ids().items() if node != leader]
        answer: dict[str, Any] = self._workers[leader].ask(
            measurement_seconds_max(plan), do="measure", plan={**plan, "processes": others}
        )
        return answer

    def fill(self, plan: dict[str, Any], seconds_max: float) -> float:
        leader = self._workers[self.wait_for_leader()]
        return float(leader.ask(seconds_max, do="fill", plan=plan)["seconds"])

    @contextlib.contextmanager
    def probe(self) -> Iterator[Probe]:
        """Within a follower: a client in the leader would die with it."""
        leader = self.wait_for_leader()
        worker = next(worker for node, worker in self._running().items() if node != leader)
        worker.ask(do="probe")
        try:
            yield _Probe(worker)
        finally:
            worker.ask(do="stop")

    def transfer(self) -> None:
        raise BenchmarkError("PySyncObj has no transfer of leadership that tells when it is done")

    def _running(self) -> dict[str, Worker]:
        return {node: worker for node, worker in self._workers.items() if worker.process.poll() is None}

    def _launch(self, address: str) -> Worker:
        others = [other for other in self._addresses if other != address]
        name = f"node-{self._addresses.index(address)}"
        timing = []
        if self.timing.election_ms is not None:
            timing = [
                "--election-ms",
                *map(str, self.timing.election_ms),
                "--heartbeat-ms",
                str(self.timing.heartbeat_ms),
            ]
        arguments = [address, *others, "--journal", str(self.directory / f"{name}.journal"), *timing]
        worker = Worker(NODE, arguments, self.directory / f"{name}.log")
        worker.answer(SETTLE_SECONDS_MAX)
        return worker


class _Probe(Probe):
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def wait(self) -> None:
        wait_until(lambda: self._worker.ask(do="probed")["count"] > 0, "PySyncObj: no write was acknowledged")

    def stop(self) -> list[tuple[int, int]]:
        return [(began, ended) for began, ended in self._worker.ask(30, do="stop")]
