"""Runs of site.yml: preflight stops before any change, a second run changes nothing, check mode predicts changes."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ansible.conftest import Playbook


def refused(run_playbook: Playbook, state: Path, *options: str, env: dict[str, str] | None = None) -> str:
    """Run site.yml, require that preflight stops it without a change, and return its output as one line."""
    done = run_playbook("site.yml", f"-e testbed_state_dir={state}", *options, env=env)
    assert done.returncode != 0
    assert "Nothing was changed" in done.stdout
    assert not state.exists()
    return re.sub(r"\s+", " ", done.stdout)


def test_all_invalid_settings_are_reported_together(run_playbook: Playbook, tmp_path: Path) -> None:
    output = refused(
        run_playbook, tmp_path / "state", "-e testbed_platform=local", "-e raft_replicas=4", "-e kind_cluster_workers=x"
    )
    assert "4 replicas" in output
    assert "'x' is not a number of workers" in output


def test_an_unknown_platform_is_refused(run_playbook: Playbook, tmp_path: Path) -> None:
    assert "unknown platform 'cloud'" in refused(run_playbook, tmp_path / "state", "-e testbed_platform=cloud")


def test_kind_without_an_engine_is_refused(run_playbook: Playbook, tmp_path: Path) -> None:
    env = {"DOCKER_HOST": f"unix://{tmp_path}/missing.sock"}
    output = refused(run_playbook, tmp_path / "state", "-e testbed_platform=kind", env=env)
    assert "the container engine does not answer" in output


def test_kind_without_its_tools_is_refused(run_playbook: Playbook, tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for tool in ("sh", "env"):
        (bare / tool).symlink_to(shutil.which(tool) or "")
    env = {"PATH": f"{Path(sys.executable).parent}:{bare}"}
    output = refused(run_playbook, tmp_path / "state", "-e testbed_platform=kind", env=env)
    assert "kind: not on the PATH" in output
    assert "kubectl: not on the PATH" in output


def test_a_broken_kubeconfig_is_refused(run_playbook: Playbook, tmp_path: Path) -> None:
    broken = tmp_path / "config"
    broken.write_text("contexts: [\n")
    output = refused(run_playbook, tmp_path / "state", "-e testbed_platform=kind", env={"KUBECONFIG": str(broken)})
    assert f"the kubeconfig cannot be read: {broken}" in output


def test_an_unknown_context_is_refused(run_playbook: Playbook, tmp_path: Path) -> None:
    output = refused(run_playbook, tmp_path / "state", "-e testbed_platform=existing", "-e testbed_context=nowhere")
    assert "there is no context 'nowhere'" in output


def test_a_registry_port_in_use_is_refused(run_playbook: Playbook, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        output = refused(
            run_playbook, tmp_path / "state", "-e testbed_platform=kind", f"-e local_registry_port={port}",
            "-e local_registry_name=no-such-registry",
        )  # fmt: skip
    assert f"port {port} is in use" in output


def test_auto_without_an_engine_chooses_local_and_reports_why(run_playbook: Playbook, tmp_path: Path) -> None:
    env = {"DOCKER_HOST": f"unix://{tmp_path}/missing.sock"}
    output = refused(run_playbook, tmp_path / "state", "-e raft_replicas=2", env=env)
    assert "platform local: kind cannot run here; the container engine does not answer" in output


def test_verify_requires_a_deployment(run_playbook: Playbook, tmp_path: Path) -> None:
    done = run_playbook("verify.yml", f"-e testbed_state_dir={tmp_path}")
    assert done.returncode != 0
    assert "run `ansible-playbook site.yml` first" in re.sub(r"\s+", " ", done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_second_run_changes_nothing_and_teardown_leaves_nothing(run_playbook: Playbook, tmp_path: Path) -> None:
    options = [f"-e testbed_state_dir={tmp_path}", "-e testbed_platform=local"]
    try:
        first = run_playbook("site.yml", *options)
        assert first.returncode == 0, first.stdout[-4000:]
        assert_unchanged(run_playbook("site.yml", *options))
        assert_unchanged(run_playbook("site.yml", *options, "--check", "--diff"))
        verified = run_playbook("verify.yml", *options, f"-e verify_artifacts_dir={tmp_path}/artifacts")
        assert verified.returncode == 0, verified.stdout[-4000:]
        assert_unchanged(run_playbook("site.yml", *options))
    finally:
        run_playbook("playbooks/teardown.yml", *options, "-e teardown_cluster=false")
    assert not (tmp_path / "local").exists()
    assert not [process for process in Path("/proc").glob("[0-9]*") if serves_below(process, tmp_path)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_check_mode_predicts_a_deployment_and_changes_nothing(run_playbook: Playbook, tmp_path: Path) -> None:
    state = tmp_path / "state"
    done = run_playbook("site.yml", f"-e testbed_state_dir={state}", "-e testbed_platform=local", "--check")
    assert done.returncode == 0, done.stdout[-4000:]
    assert "would start 3 node(s)" in done.stdout
    assert "would run the client" in done.stdout
    assert not state.exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_check_mode_notices_a_stopped_node(run_playbook: Playbook, tmp_path: Path) -> None:
    options = [f"-e testbed_state_dir={tmp_path}", "-e testbed_platform=local"]
    try:
        first = run_playbook("site.yml", *options)
        assert first.returncode == 0, first.stdout[-4000:]
        raftctl = Path(sys.executable).parent / "raftctl"
        subprocess.run([raftctl, "cluster", "kill", "raft-0", "--dir", tmp_path / "local"], check=True, timeout=60)
        checked = run_playbook("site.yml", *options, "--check")
        assert checked.returncode == 0, checked.stdout[-4000:]
        assert "would start raft-0" in checked.stdout
    finally:
        run_playbook("playbooks/teardown.yml", *options, "-e teardown_cluster=false")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_tags_run_a_part_of_the_deployment(run_playbook: Playbook, tmp_path: Path) -> None:
    options = [f"-e testbed_state_dir={tmp_path}", "-e testbed_platform=local"]
    try:
        deployed = run_playbook("site.yml", *options, "--tags", "deploy")
        assert deployed.returncode == 0, deployed.stdout[-4000:]
        assert not (tmp_path / "local" / "client").exists()
        client = run_playbook("site.yml", *options, "--tags", "client")
        assert client.returncode == 0, client.stdout[-4000:]
        assert (tmp_path / "local" / "client").exists()
        verified = run_playbook(
            "verify.yml", *options, f"-e verify_artifacts_dir={tmp_path}/artifacts", "--tags", "client"
        )
        assert verified.returncode == 0, verified.stdout[-4000:]
        assert (tmp_path / "artifacts" / "junit-verify.xml").read_text().count("<testsuite ") == 1
    finally:
        run_playbook("playbooks/teardown.yml", *options, "-e teardown_cluster=false")


def assert_unchanged(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout[-4000:]
    assert "changed=0 " in done.stdout, done.stdout[-4000:]


def serves_below(process: Path, directory: Path) -> bool:
    try:
        return str(directory).encode() in (process / "cmdline").read_bytes()
    except OSError:
        return False
