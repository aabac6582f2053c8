"""All playbooks accept etcd in place of raft_pkg.

These tests use local processes; `make e2e-etcd` runs the same playbooks on kind.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ansible.conftest import ROOT, Playbook

# The tests share one cluster and run in order.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500), pytest.mark.xdist_group("other system")]

PLAN: dict[str, Any] = {
    "description": "Faults that every system supports, and two that etcd does not.",
    "operations_ok_min": 100,
    "workload": {"rate": 50, "timeout": 2},
    "faults": [
        {"fault": "pause", "target": "leader", "seconds": 5},
        {"fault": "kill", "target": "leader", "seconds": 1},
        {"fault": "partition", "target": "leader", "seconds": 5},
        {"fault": "volume-lost", "target": "follower"},
        {"fault": "transfer", "target": "follower"},
    ],
}


@dataclass
class Deployment:
    """A cluster of etcd, and the options that select it in every playbook."""

    run: Playbook
    options: list[str]
    artifacts: Path

    def play(self, playbook: str, *more: str) -> str:
        done = self.run(playbook, *self.options, *more)
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout


def require_etcd(directory: Path) -> None:
    """Skip the tests when etcd cannot be fetched; fail in CI."""
    fetched = subprocess.run([ROOT / "systems" / "etcd" / "fetch", directory], capture_output=True, check=False)
    if fetched.returncode and not os.environ.get("CI"):
        pytest.skip(fetched.stderr.decode().strip())
    assert fetched.returncode == 0, fetched.stderr


@pytest.fixture(scope="module")
def deployment(run_playbook: Playbook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("etcd")
    require_etcd(directory / "fetched")
    (directory / "short.yml").write_text(yaml.safe_dump(PLAN))
    settings = {
        "raft_system": "etcd",
        "testbed_platform": "local",
        "testbed_state_dir": str(directory / "state"),
        "teardown_state_dir": str(directory / "state"),
        "chaos_scenario": "short",
        "chaos_scenarios_dir": str(directory),
        "chaos_artifacts_dir": str(directory / "artifacts"),
        "verify_artifacts_dir": str(directory / "artifacts"),
    }
    deployed = Deployment(run_playbook, ["-e", json.dumps(settings)], directory / "artifacts")
    deployed.play("site.yml")
    yield deployed
    deployed.play("playbooks/teardown.yml", "-e", "teardown_cluster=false")


def test_a_second_deployment_changes_nothing(deployment: Deployment) -> None:
    assert "changed=0 " in deployment.play("site.yml")


def test_verification_passes(deployment: Deployment) -> None:
    assert "platform local, system etcd" in deployment.play("verify.yml")


def test_the_data_of_another_system_are_refused(deployment: Deployment) -> None:
    done = deployment.run("site.yml", *deployment.options, "-e", "raft_system=raft_pkg")
    assert done.returncode != 0
    assert "another system" in done.stdout
    deployment.play("site.yml")  # restore the deployment state


def test_the_verdict_under_faults_is_ok(deployment: Deployment) -> None:
    deployment.play("playbooks/chaos.yml")
    (run,) = (deployment.artifacts / "chaos").iterdir()
    assert json.loads((run / "run.json").read_text())["system"] == "etcd"
    assert "system etcd" in (deployment.artifacts / "report.html").read_text()
    records = [json.loads(line) for line in (run / "faults.jsonl").read_text().splitlines()]
    skipped = {record["fault"]: record["skipped"] for record in records if record.get("skipped")}
    assert set(skipped) == {"partition", "volume-lost"}
    assert "operator" in skipped["volume-lost"]
    # three times the longest election timeout of etcd
    assert {record["unavailability_slo_seconds"] for record in records if record["fault"] == "kill"} == {6.0}
    assert all(item["holds"] for record in records for item in record.get("evidence", []))
