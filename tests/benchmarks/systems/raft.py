"""raft_pkg, run by `raftctl cluster`."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raft_pkg import __version__
from raft_pkg.local import LocalCluster, LocalClusterOptions, process
from raft_testbed.events import LogEvent, read_events
from tests.benchmarks.processes import run
from tests.benchmarks.systems.system import (
    DEFAULT_TIMING,
    START_SECONDS_MAX,
    Probe,
    System,
    Timing,
    drive,
    driver_probe,
    measurement_seconds_max,
)

LEASE_READS = "RAFT_LEASE_READS"
RAFTCTL = (sys.executable, "-m", "raft_pkg.cli")


class RaftPkg(System):
    """raft_pkg. With `lease_reads`, the leader serves reads without contacting other nodes."""

    name = "raft_pkg"
    version = __version__

    def __init__(
        self, directory: Path, nodes: int = 3, timing: Timing = DEFAULT_TIMING, *, lease_reads: bool = False
    ) -> None:
        super().__init__(directory, nodes, timing)
        self._cluster = LocalCluster(directory / "cluster", timeout=START_SECONDS_MAX)
        self.lease_reads = lease_reads
        self._log = directory / "driver.log"

    def start(self) -> None:
        low, high = self.timing.election_ms or (None, None)
        os.environ[LEASE_READS] = str(self.lease_reads)  # read by `raftctl serve`
        try:
            self._cluster.up(LocalClusterOptions(self.nodes, None, low, high, self.timing.heartbeat_ms))
        finally:
            del os.environ[LEASE_READS]

    def stop(self) -> None:
        if self._exists():
            self._cluster.kill([*self.process_ids()])

    def process_ids(self) -> dict[str, int]:
        return {
            node.id: node.pid
            for node in self._cluster.load().nodes
            if node.pid is not None and process.state(node) != "stopped"
        }

    def leader(self) -> str | None:
        return self._cluster.status().cluster.leader_id

    def pause(self) -> None:
        self._cluster.pause([*self.process_ids()])

    def resume(self) -> None:
        self.start()

    def kill(self, node: str) -> None:
        self._cluster.kill([node])

    def measure(self, plan: dict[str, Any]) -> dict[str, Any]:
        plan = {**plan, "processes": [*self.process_ids().values()]}
        return drive(self._log, "measure", "raft", self.endpoints, plan, seconds_max=measurement_seconds_max(plan))

    def fill(self, plan: dict[str, Any], seconds_max: float) -> float:
        return float(drive(self._log, "fill", "raft", self.endpoints, plan, seconds_max=seconds_max)["seconds"])

    @contextlib.contextmanager
    def probe(self) -> Iterator[Probe]:
        with driver_probe(self._log, "raft", self.endpoints) as probe:
            yield probe

    def transfer(self) -> None:
        leader = self.leader()
        target = next(node for node in self.process_ids() if node != leader)
        run([*RAFTCTL, "transfer", target, "--endpoints", ",".join(self.endpoints)], 30)

    @property
    def endpoints(self) -> tuple[str, ...]:
        return self._cluster.load().endpoints

    @property
    def leader_endpoint(self) -> str:
        return self._cluster.load().node(self.wait_for_leader()).endpoint

    def _exists(self) -> bool:
        return (self.directory / "cluster" / "cluster.json").exists()

    def events(self, name: str) -> list[LogEvent]:
        """Return the events of this name in all nodes' logs."""
        logs = sorted((self.directory / "cluster").glob("*/stdout.log"))
        return [event for log in logs for event in read_events(log.read_text().splitlines()) if event["event"] == name]
