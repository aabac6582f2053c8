"""Filters that describe the deployment, and the commands to go on with."""

from __future__ import annotations

from typing import Any

from raft_pkg.events import Event
from raft_testbed.events import LogEvent, last_event


def platform_line(deployment: dict[str, Any]) -> str:
    """Return platform and system of a deployment, and always the mutant that its nodes run."""
    mutant = deployment.get("mutant")
    system = deployment.get("system", {}).get("name", "raft_pkg")
    line = f"platform {deployment['platform']}, system {system}"
    return line + (f"; THE NODES RUN A MUTANT: {mutant}" if mutant else "")


def next_steps(deployment: dict[str, Any], client_log: str) -> list[str]:
    """Return lines that describe a deployment, and the commands that inspect it."""
    lines = client_log.splitlines()
    leader: LogEvent = last_event(lines, Event.LEADER_FOUND) or {}
    finished: LogEvent = last_event(lines, Event.WORKLOAD_FINISHED) or {}
    platform = "; ".join([f"{platform_line(deployment)}: {deployment['reason']}", *deployment["missing"]])
    found = f"the client found the leader {leader.get('leader')} in term {leader.get('term')}"
    steps = [platform, f"{deployment['replicas']} node(s); {found}, {finished.get('ok')} operations ok"]
    if deployment["orchestrator"] == "kubernetes":
        context = f"--context {deployment['context']} --namespace {deployment['namespace']}"
        steps += [f"kubectl {context} logs client", f"kubectl {context} logs raft-0"]
    else:
        steps += [f"cat {deployment['dir']}/client/stdout.log", f"raftctl cluster status --dir {deployment['dir']}"]
    return [*steps, "ansible-playbook verify.yml"]


def failure_message(result: dict[str, Any]) -> str:
    """Return the message of a failed task, or of the failed items of its loop."""
    items = [item.get("msg", "") for item in result.get("results", []) if item.get("failed")]
    parts = items or [str(result.get("msg", "no message"))]
    stderr = str(result.get("stderr", "")).strip()
    return "\n".join([*parts, stderr] if stderr else parts)


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"next_steps": next_steps, "platform_line": platform_line, "failure_message": failure_message}
