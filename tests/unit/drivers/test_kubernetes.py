"""What the driver for Kubernetes reads from API objects."""

from typing import Any

import pytest

from raft_testbed.drivers.kubernetes import failed_state
from raft_testbed.drivers.kubernetes_api import is_rolled_out


def terminated(container_id: str, status: int) -> dict[str, Any]:
    return {"terminated": {"containerID": f"containerd://{container_id}", "exitCode": status}}


@pytest.mark.parametrize(
    ("newest", "state", "last_state", "found"),
    [
        ("target", {"running": {}}, terminated("older", 137), ""),
        ("target", terminated("target", 137), terminated("older", 137), ""),
        ("newer", {"running": {}}, terminated("target", 137), ""),
        ("newer", terminated("newer", 0), terminated("target", 137), ""),
        ("newer", terminated("newer", 2), terminated("target", 137), "state"),
        ("newer", {"waiting": {}}, terminated("newer", 2), "lastState"),
        ("newest", {"running": {}}, terminated("newer", 2), "lastState"),
    ],
)
def test_only_a_failure_after_the_targets_process_counts(
    newest: str, state: dict[str, Any], last_state: dict[str, Any], found: str
) -> None:
    """Found on kind: a node that had been killed before seemed to start with a flipped bit."""
    container = {"containerID": f"containerd://{newest}", "state": state, "lastState": last_state}
    assert failed_state(container, "target") == found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"readyReplicas": 2}, False),
        ({"observedGeneration": 6}, False),
        ({"updateRevision": "newer"}, False),
    ],
)
def test_a_roll_out_is_complete_when_all_replicas_are_ready_at_the_newest_revision(
    changes: dict[str, Any], expected: bool
) -> None:
    status = {"observedGeneration": 7, "readyReplicas": 3, "currentRevision": "a", "updateRevision": "a", **changes}
    stateful_set = {"metadata": {"generation": 7}, "spec": {"replicas": 3}, "status": status}
    assert is_rolled_out(stateful_set) is expected
