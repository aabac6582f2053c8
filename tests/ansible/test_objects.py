"""Filters over Kubernetes objects, local clusters, files and failed tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.ansible.plugins import load_plugin

objects = load_plugin("filter", "kubernetes_objects")
local = load_plugin("filter", "local_cluster")
content = load_plugin("filter", "content")
testbed_report = load_plugin("filter", "testbed_report")


def statefulset(**status: Any) -> list[dict[str, Any]]:
    full = {"observedGeneration": 2, "readyReplicas": 3, "currentRevision": "b", "updateRevision": "b"} | status
    return [{"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": full}]


def test_a_statefulset_is_pending_until_every_replica_runs_the_newest_template() -> None:
    assert objects.statefulset_pending(statefulset()) == ""
    assert objects.statefulset_pending(statefulset(readyReplicas=1)) == "1 of 3 replicas are ready"
    assert "newest template" in objects.statefulset_pending(statefulset(observedGeneration=1))
    assert "replaced" in objects.statefulset_pending(statefulset(currentRevision="a"))
    assert objects.statefulset_pending([]) == "there is no StatefulSet"


def test_a_pod_that_cannot_pull_its_image_has_an_outcome() -> None:
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}
    assert objects.pod_outcome([{"status": {"phase": "Pending", "containerStatuses": [waiting]}}]).startswith(
        "ImagePullBackOff"
    )
    assert objects.pod_outcome([{"status": {"phase": "Running"}}]) == ""
    assert objects.pod_outcome([{"status": {"phase": "Failed"}}]) == "Failed"


@pytest.mark.parametrize(("minor", "api"), [("20", "policy/v1beta1"), ("21", "policy/v1"), ("33+", "policy/v1")])
def test_the_api_version_of_disruption_budgets_depends_on_the_server(minor: str, api: str) -> None:
    assert objects.disruption_budget_api({"kubernetes": {"minor": minor}}) == api


def test_readings_have_the_node_and_its_incarnation() -> None:
    pod = {"metadata": {"name": "raft-0", "uid": "u"}, "status": {"containerStatuses": [{"restartCount": 2}]}}
    (now,) = objects.pod_readings([{"item": pod, "log": "text"}])
    (before,) = objects.pod_readings([{"item": pod, "log": None}], "previous")
    assert (now["incarnation"], before["incarnation"]) == ("u/2", "u/1")
    assert objects.restarted_pods([pod]) == [pod]


def local_status(**node: Any) -> str:
    nodes = [{"id": f"raft-{n}", "state": "running", "role": "leader" if n == 0 else "follower"} for n in range(3)]
    nodes[2] |= node
    return json.dumps({"leader": "raft-0", "nodes": nodes})


def test_a_local_cluster_is_pending_until_every_node_follows() -> None:
    assert local.local_pending(local_status(), 3) == ""
    assert "raft-2 is stopped" in local.local_pending(local_status(state="stopped", role=None), 3)
    assert "raft-2" in local.local_pending(local_status(role="candidate"), 3)
    assert local.local_pending(local_status(), 5).startswith("3 of 5")
    assert "no JSON" in local.local_pending("raftctl: broken", 3)


def test_the_digest_depends_on_names_contents_and_settings_only(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "a.py").write_text("a")
    first = content.content_digest(["package"], str(tmp_path), "3.13")
    (tmp_path / "package" / "__pycache__").mkdir()
    (tmp_path / "package" / "__pycache__" / "a.pyc").write_text("compiled")
    assert content.content_digest(["package"], str(tmp_path), "3.13") == first
    assert content.content_digest(["package"], str(tmp_path), "3.12") != first
    (tmp_path / "package" / "a.py").rename(tmp_path / "package" / "b.py")
    assert content.content_digest(["package"], str(tmp_path), "3.13") != first


def test_a_missing_input_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        content.content_digest(["nowhere"], str(tmp_path))


def test_a_failed_loop_reports_the_messages_of_its_items() -> None:
    result = {"msg": "One or more items failed", "results": [{"failed": True, "msg": "no bridge"}, {"failed": False}]}
    assert testbed_report.failure_message(result) == "no bridge"
    assert testbed_report.failure_message({"msg": "rc 1", "stderr": "why\n"}) == "rc 1\nwhy"
