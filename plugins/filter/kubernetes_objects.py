"""Filters over what the Kubernetes API returns."""

from __future__ import annotations

from typing import Any


def is_ready(item: dict[str, Any]) -> bool:
    conditions = item.get("status", {}).get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def not_ready(items: list[dict[str, Any]]) -> list[str]:
    """Names of the nodes or Pods that are not Ready."""
    return [item["metadata"]["name"] for item in items if not is_ready(item)]


def nodes_not_ready(nodes: list[dict[str, Any]]) -> list[str]:
    """Names of the nodes that are not Ready; an empty cluster is not ready either."""
    return not_ready(nodes) if nodes else ["no node at all"]


def statefulset_pending(statefulsets: list[dict[str, Any]]) -> str:
    """What a StatefulSet still waits for; empty when every replica runs the newest template and is ready."""
    if not statefulsets:
        return "there is no StatefulSet"
    metadata, spec, status = statefulsets[0]["metadata"], statefulsets[0]["spec"], statefulsets[0].get("status", {})
    if status.get("observedGeneration", 0) < metadata["generation"]:
        return "the controller has not seen the newest template"
    ready = status.get("readyReplicas", 0)
    if ready < spec["replicas"]:
        return f"{ready} of {spec['replicas']} replicas are ready"
    if status.get("currentRevision") != status.get("updateRevision"):
        return "replicas are still being replaced"
    return ""


STUCK_REASONS = {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError"}


def pod_outcome(pods: list[dict[str, Any]]) -> str:
    """How a Pod that runs once ended: Succeeded, Failed, or why it will never start; empty while that is open."""
    for pod in pods:
        status = pod.get("status", {})
        if status.get("phase") in ("Succeeded", "Failed"):
            return str(status["phase"])
        for container in status.get("containerStatuses") or []:
            waiting = container.get("state", {}).get("waiting") or {}
            if waiting.get("reason") in STUCK_REASONS:
                return f"{waiting['reason']}: {waiting.get('message', '')}"
    return ""


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {
            "not_ready": not_ready,
            "nodes_not_ready": nodes_not_ready,
            "statefulset_pending": statefulset_pending,
            "pod_outcome": pod_outcome,
        }
