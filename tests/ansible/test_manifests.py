"""The manifests are valid for the oldest supported Kubernetes (Debian's 1.20) and for a recent one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ansible.conftest import ROOT, Playbook

# A release of kubernetes-validate per version: none has the schemas of all three.
VALIDATORS = {"1.20": "1.28.1", "1.25": "1.28.1", "1.34": "1.37.0"}
VALIDATE = """
import sys, yaml, kubernetes_validate
for path in sys.argv[2:]:
    with open(path, encoding="utf-8") as manifest:
        kubernetes_validate.validate(yaml.safe_load(manifest), sys.argv[1], strict=True)
"""


def rendered(run_playbook: Playbook, directory: Path, **variables: Any) -> list[Path]:
    variables = {
        "rendered_dir": str(directory),
        "client_template": str(ROOT / "k8s-templates" / "client.yml.j2"),
        "__raft_policy_api": "policy/v1",
        **variables,
    }
    done = run_playbook("tests/ansible/render.yml", "-e", json.dumps(variables))
    assert done.returncode == 0, done.stdout[-3000:]
    return sorted(directory.glob("*.yml"))


def validator(release: str) -> Path:
    """Return a directory with that release of kubernetes-validate, which later runs reuse."""
    directory = ROOT / ".testbed" / f"kubernetes-validate-{release}"
    if not (directory / "kubernetes_validate").is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(directory)]
        subprocess.run([*pip, f"kubernetes-validate=={release}"], check=True, timeout=300)
    return directory


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", VALIDATORS)
def test_manifests_are_valid(run_playbook: Playbook, tmp_path: Path, version: str) -> None:
    api = "policy/v1beta1" if version == "1.20" else "policy/v1"
    manifests = rendered(run_playbook, tmp_path, __raft_policy_api=api)
    done = subprocess.run(
        [sys.executable, "-c", VALIDATE, version, *map(str, manifests)],
        env={"PYTHONPATH": str(validator(VALIDATORS[version]))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("replicas", [1, 3, 7])
def test_every_node_lists_all_peers(run_playbook: Playbook, tmp_path: Path, replicas: int) -> None:
    rendered(run_playbook, tmp_path, raft_replicas=replicas)
    statefulset = yaml.safe_load((tmp_path / "raft-statefulset.yml").read_text())
    assert statefulset["spec"]["replicas"] == replicas
    (container,) = statefulset["spec"]["template"]["spec"]["containers"]
    env = {item["name"]: item.get("value") for item in container["env"]}
    assert env["RAFT_PEERS"] == ",".join(f"raft-{n}=raft-{n}.service-raft:6000" for n in range(replicas))
    budget = yaml.safe_load((tmp_path / "raft-disruption-budget.yml").read_text())
    assert budget["spec"]["maxUnavailable"] == (replicas - 1) // 2


def test_the_client_gets_the_expected_keys(run_playbook: Playbook, tmp_path: Path) -> None:
    rendered(run_playbook, tmp_path, client_expect={"a/1": "x y", "b": "2"})
    (container,) = yaml.safe_load((tmp_path / "client.yml").read_text())["spec"]["containers"]
    assert container["args"][-2:] == ["--expect=a/1=x y", "--expect=b=2"]
