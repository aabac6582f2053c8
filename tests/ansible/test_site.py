"""Whole runs of site.yml: some must stop before they change anything, and a second one must change nothing."""

from __future__ import annotations

import re
import shutil
import socket
import sys
from pathlib import Path

import pytest

from tests.ansible.conftest import Playbook


def refused(run_playbook: Playbook, state: Path, *options: str, env: dict[str, str] | None = None) -> str:
    """What site.yml says when it refuses; it must not have made anything."""
    done = run_playbook("site.yml", f"-e testbed_state_dir={state}", *options, env=env)
    assert done.returncode != 0
    assert "Nothing was changed" in done.stdout
    assert not state.exists()
    return re.sub(r"\s+", " ", done.stdout)


def test_wrong_settings_are_refused_together(run_playbook: Playbook, tmp_path: Path) -> None:
    said = refused(
        run_playbook, tmp_path / "state", "-e testbed_platform=local", "-e raft_replicas=4", "-e kind_cluster_workers=x"
    )
    assert "4 replicas" in said
    assert "'x' is not a number of workers" in said


def test_an_unknown_platform_is_refused(run_playbook: Playbook, tmp_path: Path) -> None:
    assert "unknown platform 'cloud'" in refused(run_playbook, tmp_path / "state", "-e testbed_platform=cloud")


def test_kind_without_an_engine_is_refused(run_playbook: Playbook, tmp_path: Path) -> None:
    env = {"DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"}
    said = refused(run_playbook, tmp_path / "state", "-e testbed_platform=kind", env=env)
    assert "the container engine does not answer" in said


def test_kind_without_its_tools_is_refused(run_playbook: Playbook, tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for tool in ("sh", "env"):
        (bare / tool).symlink_to(shutil.which(tool) or "")
    env = {"PATH": f"{Path(sys.executable).parent}:{bare}"}
    said = refused(run_playbook, tmp_path / "state", "-e testbed_platform=kind", env=env)
    assert "kind: not on the PATH" in said
    assert "kubectl: not on the PATH" in said


def test_a_broken_kubeconfig_is_refused(run_playbook: Playbook, tmp_path: Path) -> None:
    broken = tmp_path / "config"
    broken.write_text("contexts: [\n")
    said = refused(run_playbook, tmp_path / "state", "-e testbed_platform=kind", env={"KUBECONFIG": str(broken)})
    assert f"the kubeconfig cannot be read: {broken}" in said


def test_a_wrong_context_is_refused(run_playbook: Playbook, tmp_path: Path) -> None:
    said = refused(run_playbook, tmp_path / "state", "-e testbed_platform=existing", "-e testbed_context=nowhere")
    assert "there is no context 'nowhere'" in said


def test_a_taken_registry_port_is_refused(run_playbook: Playbook, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        said = refused(
            run_playbook, tmp_path / "state", "-e testbed_platform=kind", f"-e local_registry_port={port}",
            "-e local_registry_name=no-such-registry",
        )  # fmt: skip
    assert f"port {port} is in use" in said


def test_auto_without_an_engine_takes_local_and_says_what_was_missing(run_playbook: Playbook, tmp_path: Path) -> None:
    env = {"DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"}
    said = refused(run_playbook, tmp_path / "state", "-e raft_replicas=2", env=env)
    assert "platform local: kind cannot run here; the container engine does not answer" in said


def test_verify_says_that_nothing_is_deployed(run_playbook: Playbook, tmp_path: Path) -> None:
    done = run_playbook("verify.yml", f"-e testbed_state_dir={tmp_path}")
    assert done.returncode != 0
    assert "run `ansible-playbook site.yml` first" in re.sub(r"\s+", " ", done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_second_run_changes_nothing_and_teardown_leaves_nothing(run_playbook: Playbook, tmp_path: Path) -> None:
    options = [f"-e testbed_state_dir={tmp_path}", f"-e teardown_state_dir={tmp_path}", "-e testbed_platform=local"]
    try:
        first = run_playbook("site.yml", *options)
        assert first.returncode == 0, first.stdout[-4000:]
        second = run_playbook("site.yml", *options)
        assert "changed=0" in second.stdout, second.stdout[-4000:]
        verified = run_playbook("verify.yml", *options, f"-e verify_artifacts_dir={tmp_path}/artifacts")
        assert verified.returncode == 0, verified.stdout[-4000:]
        assert "changed=0" in run_playbook("site.yml", *options).stdout
    finally:
        run_playbook("playbooks/teardown.yml", *options, "-e teardown_cluster=false")
    assert not (tmp_path / "local").exists()
    assert not [process for process in Path("/proc").glob("[0-9]*") if serves_below(process, tmp_path)]


def serves_below(process: Path, place: Path) -> bool:
    try:
        return str(place).encode() in (process / "cmdline").read_bytes()
    except OSError:
        return False
