"""Filters that say to a person what runs and how to go on."""

from __future__ import annotations

import json
from typing import Any


def find_event(log: str, event: str) -> dict[str, Any]:
    """The last line of a log that has this event; an empty one where there is none."""
    found: dict[str, Any] = {}
    for line in log.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("event") == event:
            found = record
    return found


def platform_line(record: dict[str, Any]) -> str:
    """What was deployed where, in a few words; that nodes are broken on purpose is never left out."""
    mutant = record.get("mutant")
    system = record.get("system", {}).get("name", "raft_pkg")
    place = f"platform {record['platform']}, system {system}"
    return place + (f"; THE NODES ARE BROKEN ON PURPOSE: {mutant}" if mutant else "")


def next_steps(record: dict[str, Any], client_log: str) -> list[str]:
    """What was deployed, and the commands that show it."""
    leader = find_event(client_log, "leader_found")
    finished = find_event(client_log, "workload_finished")
    platform = "; ".join([f"{platform_line(record)}: {record['reason']}", *record["missing"]])
    found = f"the client found the leader {leader.get('leader')} in term {leader.get('term')}"
    lines = [platform, f"{record['replicas']} node(s); {found}, {finished.get('ok')} operations ok"]
    if record["orchestrator"] == "kubernetes":
        context = f"--context {record['context']} --namespace {record['namespace']}"
        lines += [f"kubectl {context} logs client", f"kubectl {context} logs raft-0"]
    else:
        lines += [f"cat {record['dir']}/client/stdout.log", f"raftctl cluster status --dir {record['dir']}"]
    return [*lines, "ansible-playbook verify.yml"]


def failure_message(result: dict[str, Any]) -> str:
    """What a failed task said; of a loop, what its failed items said."""
    items = [item.get("msg", "") for item in result.get("results", []) if item.get("failed")]
    parts = items or [str(result.get("msg", "no message"))]
    stderr = str(result.get("stderr", "")).strip()
    return "\n".join([*parts, stderr] if stderr else parts)


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"next_steps": next_steps, "platform_line": platform_line, "failure_message": failure_message}
