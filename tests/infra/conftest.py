"""The deployment state that site.yml saved, and hosts to inspect the deployment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

STATE_FILE = Path(__file__).resolve().parents[2] / ".testbed" / "testbed.json"


@pytest.fixture(scope="session")
def deployment() -> dict[str, Any]:
    if not STATE_FILE.exists():
        pytest.fail(f"nothing is deployed: {STATE_FILE} does not exist; run `ansible-playbook site.yml` first")
    return json.loads(STATE_FILE.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def machine() -> Host:
    return testinfra.get_host("local://")


@pytest.fixture(scope="session")
def node_names(deployment: dict[str, Any]) -> list[str]:
    return [f"raft-{number}" for number in range(deployment["replicas"])]


def require(deployment: dict[str, Any], key: str, value: str) -> None:
    if deployment[key] != value:
        pytest.skip(f"the testbed's {key} is {deployment[key]}, not {value}")
