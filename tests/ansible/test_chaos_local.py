"""The role chaos with processes on this machine: a short run, an interrupted one, and the run after it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ansible.conftest import ROOT, Playbook

# The tests share a cluster and run in order.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("chaos")]

# Machines that run tests are busy: the unavailability SLO depends on these.
TIMEOUTS = {
    "raft_election_timeout_ms_min": 500,
    "raft_election_timeout_ms_max": 1000,
    "raft_heartbeat_interval_ms": 100,
}
SCENARIOS: dict[str, list[dict[str, Any]]] = {
    "short": [
        {"fault": "pause", "target": "leader", "seconds": 0.1},
        {"fault": "kill", "target": "leader", "seconds": 1},
        {"fault": "partition", "target": "leader", "seconds": 4},
        {"fault": "bits-flipped", "target": "follower", "seconds": 0},
        {"fault": "disk-slow", "target": "follower", "seconds": 1},
        {"fault": "clock-jump"},
    ],
    "long_partition": [{"fault": "partition", "target": "leader", "seconds": 20}],
    "transfer": [{"fault": "transfer"}],
}


@dataclass
class Deployment:
    """A cluster for these tests alone."""

    directory: Path
    run_playbook: Playbook

    def arguments(self, scenario: str, expiry_seconds: int = 120) -> list[str]:
        settings = {
            "testbed_platform": "local",
            "testbed_state_dir": str(self.directory / "state"),
            "chaos_scenario": scenario,
            "chaos_scenarios_dir": str(self.directory),
            "chaos_artifacts_dir": str(self.directory / "artifacts"),
            "chaos_expiry_seconds": expiry_seconds,
            **TIMEOUTS,
        }
        return ["-e", json.dumps(settings)]

    def chaos(self, scenario: str) -> subprocess.CompletedProcess[str]:
        return self.run_playbook("playbooks/chaos.yml", *self.arguments(scenario))

    def status(self, *command: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "raft_pkg.cli", *command, "--json"], capture_output=True, text=True, check=False
        )
        return json.loads(done.stdout)

    @property
    def cluster(self) -> dict[str, Any]:
        return self.status("cluster", "status", "--dir", str(self.directory / "state" / "local"))

    @property
    def rules(self) -> dict[str, Any]:
        """The rules of the proxy between the nodes."""
        return self.status("proxy", "status", "--control", self.cluster["proxy"])["rules"]

    def newest_run(self) -> Path:
        return max((self.directory / "artifacts" / "chaos").iterdir())


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory, run_playbook: Playbook) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("chaos")
    for name, faults in SCENARIOS.items():
        plan = {"description": name, "operations_ok_min": 100, "workload": {"rate": 50}, "faults": faults}
        (directory / f"{name}.yml").write_text(yaml.safe_dump(plan))
    found = Deployment(directory, run_playbook)
    deployed = run_playbook("site.yml", *found.arguments("short"))
    assert deployed.returncode == 0, deployed.stdout
    yield found
    local = str(directory / "state" / "local")
    subprocess.run([sys.executable, "-m", "raft_pkg.cli", "cluster", "down", "--purge", "--dir", local], check=True)


def until(reached: Callable[[], bool], what: str, seconds_max: float = 60.0) -> None:
    deadline = time.monotonic() + seconds_max
    while not reached():
        assert time.monotonic() < deadline, what
        time.sleep(0.3)


def test_a_short_run_ends_in_the_verdict_ok_with_evidence_of_every_fault(testbed: Deployment) -> None:
    done = testbed.chaos("short")
    assert done.returncode == 0, done.stdout
    run = testbed.newest_run()
    records = [json.loads(line) for line in (run / "faults.jsonl").read_text().splitlines()]
    assert [record["fault"] for record in records] == [step["fault"] for step in SCENARIOS["short"]]
    assert "skipped" in records[-1]
    assert all(item["holds"] for record in records[:-1] for item in record["evidence"])
    assert records[3]["data_lost"] == records[3]["targets"]
    assert json.loads((run / "verdict.json").read_text())["verdict"] == "ok"
    assert (testbed.directory / "artifacts" / "report.html").is_file()


def test_a_fault_of_an_interrupted_run_is_reverted_and_the_next_run_starts_clean(testbed: Deployment) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ansible",
            "playbook",
            "playbooks/chaos.yml",
            *testbed.arguments("long_partition", expiry_seconds=10),
        ],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until(lambda: bool(testbed.rules), "the partition did not start", 300)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does at Ctrl-C
        assert process.wait(60) != 0
    finally:
        process.kill()
    assert testbed.rules
    until(lambda: not testbed.rules, "the dead man's switch did not end the partition")
    until(lambda: testbed.cluster["leader"] is not None, "no leader after the partition")
    done = testbed.chaos("transfer")
    assert done.returncode == 0, done.stdout


def test_an_unknown_scenario_is_rejected_with_the_known_ones(testbed: Deployment) -> None:
    done = testbed.chaos("none_such")
    assert done.returncode != 0
    assert "long_partition, short, transfer" in done.stdout
