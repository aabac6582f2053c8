"""Filters over what `raftctl cluster status --json` prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def local_pending(status: str, replicas: int) -> str:
    """What a local cluster still waits for; empty when every node runs and the same leader is named."""
    try:
        cluster = json.loads(status)
    except ValueError:
        return f"raftctl cluster status printed no JSON: {status.strip()[:200] or 'nothing'}"
    running = [node["id"] for node in cluster["nodes"] if node["state"] == "running"]
    if len(running) < replicas:
        down = ", ".join(f"{node['id']} is {node['state']}" for node in cluster["nodes"] if node["state"] != "running")
        return f"{len(running)} of {replicas} replicas are ready; {down}"
    silent = [node["id"] for node in cluster["nodes"] if node["role"] not in ("leader", "follower")]
    if silent:
        return f"{replicas - len(silent)} of {replicas} replicas are ready; not following a leader: {', '.join(silent)}"
    if cluster["leader"] is None:
        return "the nodes name no leader"
    return ""


def file_readings(nodes: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The logs of local nodes; a file is appended to over all incarnations, so it is one reading."""
    readings = []
    for node in nodes:
        path = Path(node["log"])
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        readings.append({"node": node["id"], "incarnation": str(path), "text": text})
    return readings


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"local_pending": local_pending, "file_readings": file_readings}
