"""verify.yml detects violations and reports evidence.

The same tests run on local processes (slow) and on a kind cluster (e2e). Each restores the deployment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from junitparser import JUnitXml

from tests.ansible.conftest import ROOT, Playbook


@dataclass
class Testbed:
    """A deployment, and the options that select it in every playbook."""

    __test__ = False
    run: Playbook
    options: list[str]
    site_options: list[str]
    artifacts: Path

    def site(self, *more: str) -> None:
        done = self.run("site.yml", *self.options, *self.site_options, *more)
        assert done.returncode == 0, done.stdout[-4000:]

    def play(self, name: str, *more: str) -> None:
        done = self.run(f"tests/ansible/negative/{name}.yml", *self.options, *more)
        assert done.returncode == 0, done.stdout[-4000:]

    def failed_checks(self, *more: str) -> dict[str, str]:
        """Run a verification that must fail; return the evidence of the failed checks by name."""
        report = self.artifacts / "junit-verify.xml"
        report.unlink(missing_ok=True)
        done = self.run("verify.yml", *self.options, f"-e verify_artifacts_dir={self.artifacts}", *more)
        assert done.returncode != 0, done.stdout[-4000:]
        cases = [case for suite in JUnitXml.fromfile(str(report)) for case in suite]
        return {case.name: case.result[0].message for case in cases if case.is_failure}

    def redeploy(self) -> None:
        done = self.run("playbooks/teardown.yml", *self.options, "-e teardown_cluster=false")
        assert done.returncode == 0, done.stdout[-4000:]
        self.site()


@pytest.fixture(
    scope="module",
    params=[pytest.param("local", marks=pytest.mark.slow), pytest.param("kind", marks=pytest.mark.e2e)],
)
def testbed(
    request: pytest.FixtureRequest, run_playbook: Playbook, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Testbed]:
    artifacts = tmp_path_factory.mktemp("artifacts")
    if request.param == "local":
        state = tmp_path_factory.mktemp("testbed")
        options = [f"-e testbed_state_dir={state}", f"-e teardown_state_dir={state}"]
        deployed = Testbed(run_playbook, options, ["-e testbed_platform=local"], artifacts)
    else:
        if not (ROOT / ".testbed" / "testbed.json").exists():
            pytest.fail("nothing is deployed; run `ansible-playbook site.yml -e testbed_platform=kind` first")
        deployed = Testbed(run_playbook, [], ["-e testbed_platform=kind"], artifacts)
    deployed.site()
    yield deployed
    if request.param == "local":
        run_playbook("playbooks/teardown.yml", *options, "-e teardown_cluster=false")


@pytest.mark.timeout(1200)
def test_a_client_that_does_not_write_is_detected(testbed: Testbed) -> None:
    testbed.site("-e client_operations=0")
    try:
        failed = testbed.failed_checks()
    finally:
        testbed.site()
    assert "no write_acknowledged in its log" in failed["the writes were acknowledged"]


@pytest.mark.timeout(1200)
def test_replicas_that_do_not_start_are_detected(testbed: Testbed) -> None:
    try:
        testbed.play("keep_replicas_from_starting")
        failed = testbed.failed_checks("-e verify_ready_seconds_max=10", "-e verify_observations_max=2")
    finally:
        testbed.play("keep_replicas_from_starting", "-e heal=true")
    testbed.site()
    assert failed["all replicas are ready"].startswith(("0 of 3", "1 of 3"))


@pytest.mark.timeout(1200)
def test_data_lost_at_a_restart_is_detected(testbed: Testbed) -> None:
    testbed.play("empty_volumes")
    try:
        failed = testbed.failed_checks("-e", '{"verify_phases": ["client", "restart"]}')
    finally:
        testbed.redeploy()
    assert failed["earlier writes are still readable"].startswith("0 of 10 keys; lost: client/")
