"""Filters over objects of the Kubernetes API."""

from __future__ import annotations

from typing import Any


def statefulset_pending(statefulsets: list[dict[str, Any]]) -> str:
    """Return what a StatefulSet waits for; "" when every replica runs the newest template and is ready."""
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


STUCK_REASONS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
}


def pod_outcome(pods: list[dict[str, Any]]) -> str:
    """Return how a Pod that runs once ended: Succeeded, Failed, or why it will never start; "" while it is pending."""
    for pod in pods:
        status = pod.get("status", {})
        if status.get("phase") in ("Succeeded", "Failed"):
            return str(status["phase"])
        for container in status.get("containerStatuses") or []:
            waiting = container.get("state", {}).get("waiting") or {}
            if waiting.get("reason") in STUCK_REASONS:
                return f"{waiting['reason']}: {waiting.get('message', '')}"
    return ""


def disruption_budget_api(version: dict[str, Any]) -> str:
    """Return the API version of PodDisruptionBudget: policy/v1 since Kubernetes 1.21; 1.25 removed policy/v1beta1."""
    digits = "".join(filter(str.isdigit, version["kubernetes"]["minor"]))  # some servers report "30+"
    return "policy/v1" if int(digits) >= 21 else "policy/v1beta1"


def restarted_pods(pods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the Pods with a restarted container, which has a log of its previous incarnation."""
    return [pod for pod in pods if any(c["restartCount"] for c in pod["status"].get("containerStatuses") or [])]


def pod_readings(results: list[dict[str, Any]], suffix: str = "") -> list[dict[str, str]]:
    """Return the logs of a k8s_log loop over Pods, each with its node and its incarnation (Pod UID, restart count)."""
    readings = []
    for result in results:
        pod = result["item"]
        restarts = sum(container["restartCount"] for container in pod["status"].get("containerStatuses") or [])
        incarnation = restarts - 1 if suffix == "previous" else restarts
        readings.append(
            {
                "node": pod["metadata"]["name"],
                "incarnation": f"{pod['metadata']['uid']}/{incarnation}",
                "text": result.get("log") or "",
            }
        )
    return readings


def testbed_pods(pods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the Pods of the testbed."""
    return [pod for pod in pods if pod["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") == "raft-testbed"]


def warnings_of(listings: list[dict[str, Any]], count: int = 15) -> list[str]:
    """Return why containers wait, and the newest warnings, from listings of Pods and Events."""
    objects = {listing["item"]: listing.get("resources") or [] for listing in listings}
    lines = []
    for pod in testbed_pods(objects.get("Pod", [])):
        for container in pod["status"].get("containerStatuses") or []:
            waiting = container["state"].get("waiting")
            if waiting:
                lines.append(f"{pod['metadata']['name']}: {waiting['reason']}: {waiting.get('message', '')}")
    warnings = [event for event in objects.get("Event", []) if event.get("type") == "Warning"]
    warnings.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    lines += [
        f"{event['involvedObject']['kind']} {event['involvedObject']['name']}: {event['reason']}: {event['message']}"
        for event in warnings[-count:]
    ]
    return lines or ["no container waits, and there are no warnings"]


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {
            "statefulset_pending": statefulset_pending,
            "pod_outcome": pod_outcome,
            "disruption_budget_api": disruption_budget_api,
            "restarted_pods": restarted_pods,
            "pod_readings": pod_readings,
            "testbed_pods": testbed_pods,
            "warnings_of": warnings_of,
        }
