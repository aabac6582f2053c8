"""Filters over the output of `raftctl cluster status --json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def local_pending(status: str, replicas: int) -> str:
    """Return what a local cluster still waits for; empty if every node runs and all follow one leader."""
    try:
        cluster = json.loads(status)
    except ValueError:
        return f"raftctl cluster status printed no JSON: {status.strip()[:200] or 'nothing'}"
    running = [node["id"] for node in cluster["nodes"] if node["state"] == "running"]
    if len(running) < replicas:
        down = ", ".join(f"{node['id']} is {node['state']}" for node in cluster["nodes"] if node["state"] != "running")
        return f"{len(running)} of {replicas} replicas are ready; {down}"
    leaderless = [node["id"] for node in cluster["nodes"] if node["role"] not in ("leader", "follower")]
    if leaderless:
        ready = replicas - len(leaderless)
        return f"{ready} of {replicas} replicas are ready; not following a leader: {', '.join(leaderless)}"
    if cluster["leader"] is None:
        return "no node reports a leader"
    return ""


def file_readings(nodes: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return a reading of each local node's log; one file holds all incarnations, so it counts as one."""
    readings = []
    for node in nodes:
        path = Path(node["log"])
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        readings.append({"node": node["id"], "incarnation": str(path), "text": text})
    return readings


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"local_pending": local_pending, "file_readings": file_readings}
