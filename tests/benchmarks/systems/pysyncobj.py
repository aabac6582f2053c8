"""PySyncObj with a journal. The load runs in the leader's process, because there is no client protocol."""

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
    START_SECONDS_MAX,
    Probe,
    System,
    Timing,
    end_all,
    measurement_seconds_max,
    wait_until,
)

NODE = "tests.benchmarks.systems.pysyncobj_node"


class PySyncObj(System):
    """PySyncObj. It never syncs its memory-mapped journal, so its acknowledgements are not durable."""

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
            leaders = {worker.request(2.0, do="leader")["leader"] for worker in self._running().values()}
        except BenchmarkError:
            return None
        return leaders.pop() if len(leaders) == 1 else None

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
        measurement: dict[str, Any] = self._workers[leader].request(
            measurement_seconds_max(plan), do="measure", plan={**plan, "processes": others}
        )
        return measurement

    def fill(self, plan: dict[str, Any], seconds_max: float) -> float:
        leader = self._workers[self.wait_for_leader()]
        return float(leader.request(seconds_max, do="fill", plan=plan)["seconds"])

    @contextlib.contextmanager
    def probe(self) -> Iterator[Probe]:
        """Probe from within a follower; a probe in the leader would die with it."""
        leader = self.wait_for_leader()
        worker = next(worker for node, worker in self._running().items() if node != leader)
        worker.request(do="probe")
        try:
            yield _Probe(worker)
        finally:
            worker.request(do="stop")

    def transfer(self) -> None:
        raise BenchmarkError("PySyncObj does not report the end of a leadership transfer")

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
        worker.receive(START_SECONDS_MAX)
        return worker


class _Probe(Probe):
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def wait(self) -> None:
        wait_until(lambda: self._worker.request(do="probed")["count"] > 0, "PySyncObj: no write was acknowledged")

    def stop(self) -> list[tuple[int, int]]:
        return [(began, ended) for began, ended in self._worker.request(30, do="stop")]
