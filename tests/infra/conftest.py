"""What was deployed, as site.yml recorded it, and hosts to look at it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

RECORD = Path(__file__).resolve().parents[2] / ".testbed" / "testbed.json"


@pytest.fixture(scope="session")
def record() -> dict[str, Any]:
    if not RECORD.exists():
        pytest.fail(f"nothing is deployed: {RECORD} is not there; run `ansible-playbook site.yml` first")
    return json.loads(RECORD.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def machine() -> Host:
    return testinfra.get_host("local://")


@pytest.fixture(scope="session")
def node_names(record: dict[str, Any]) -> list[str]:
    return [f"raft-{number}" for number in range(record["replicas"])]


def need(record: dict[str, Any], key: str, value: str) -> None:
    if record[key] != value:
        pytest.skip(f"the testbed's {key} is {record[key]}, not {value}")
