"""Chaos for real, with processes on this machine: a short run, one that is interrupted, and what comes after it."""

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

# Each follows the one before: the cluster is theirs together.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("chaos")]

# Machines that run tests are busy: what is promised goes by these.
CALM = {"raft_election_timeout_ms_min": 500, "raft_election_timeout_ms_max": 1000, "raft_heartbeat_interval_ms": 100}
SCENARIOS: dict[str, list[dict[str, Any]]] = {
    "short": [
        {"fault": "pause", "target": "leader", "seconds": 0.1},
        {"fault": "kill", "target": "leader", "seconds": 1},
        {"fault": "partition", "target": "leader", "seconds": 4},
        {"fault": "bits-flipped", "target": "follower", "seconds": 0},
        {"fault": "disk-slow", "target": "follower", "seconds": 1},
        {"fault": "clock-jump"},
    ],
    "long_cut": [{"fault": "partition", "target": "leader", "seconds": 20}],
    "transfer": [{"fault": "transfer"}],
}


@dataclass
class Deployment:
    """A cluster of the tests' own."""

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
            **CALM,
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
        """What the proxy between the nodes does to messages."""
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
    place = str(directory / "state" / "local")
    subprocess.run([sys.executable, "-m", "raft_pkg.cli", "cluster", "down", "--purge", "--dir", place], check=True)


def until(reached: Callable[[], bool], what: str, seconds_max: float = 60.0) -> None:
    deadline = time.monotonic() + seconds_max
    while not reached():
        assert time.monotonic() < deadline, what
        time.sleep(0.3)


def test_a_short_run_ends_in_a_verdict_with_every_fault_seen(testbed: Deployment) -> None:
    done = testbed.chaos("short")
    assert done.returncode == 0, done.stdout
    run = testbed.newest_run()
    windows = [json.loads(line) for line in (run / "faults.jsonl").read_text().splitlines()]
    assert [window["fault"] for window in windows] == [step["fault"] for step in SCENARIOS["short"]]
    assert "skipped" in windows[-1]
    assert all(item["holds"] for window in windows[:-1] for item in window["evidence"])
    assert windows[3]["data_lost"] == windows[3]["targets"]
    assert json.loads((run / "verdict.json").read_text())["verdict"] == "ok"
    assert (testbed.directory / "artifacts" / "report.html").is_file()


def test_what_an_interrupted_run_broke_heals_itself_and_the_next_run_starts_clean(testbed: Deployment) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ansible",
            "playbook",
            "playbooks/chaos.yml",
            *testbed.arguments("long_cut", expiry_seconds=10),
        ],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until(lambda: bool(testbed.rules), "the partition did not come", 300)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does at Ctrl-C
        assert process.wait(60) != 0
    finally:
        process.kill()
    assert testbed.rules
    until(lambda: not testbed.rules, "the partition did not end by itself")
    until(lambda: testbed.cluster["leader"] is not None, "no leader after the partition")
    done = testbed.chaos("transfer")
    assert done.returncode == 0, done.stdout


def test_a_scenario_that_is_not_there_is_answered_with_those_that_are(testbed: Deployment) -> None:
    done = testbed.chaos("none_such")
    assert done.returncode != 0
    assert "long_cut, short, transfer" in done.stdout
