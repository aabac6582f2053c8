"""Filters of the role chaos: the faults of a scenario, and what became of them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from raft_testbed.faults import FaultRecord
from raft_testbed.nemesis.scenario import plan_faults


def chaos_faults(scenario: dict[str, Any], seed: int, seconds: int = 0) -> list[dict[str, Any]]:
    """Return the planned record of each fault of a scenario, in order."""
    return [record.to_json() for record in plan_faults(scenario, seed, seconds)]


def workload_arguments(workload: dict[str, Any], seed: int, run_id: str, final_seconds_max: int) -> list[str]:
    """Arguments of `raftctl workload`, which works until it is told that it is enough."""
    options = {name.replace("_", "-"): value for name, value in workload.items()}
    settings = {**options, "duration": 0, "seed": seed, "run-id": run_id, "final-reads-limit": final_seconds_max}
    return [f"--{name}={value}" for name, value in settings.items()]


def json_lines(records: list[dict[str, Any]]) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def evidence_lines(record: dict[str, Any]) -> list[str]:
    """Return a fault's record as lines for people."""
    results = {True: "observed", False: "NOT OBSERVED", None: "not determined"}
    fault = FaultRecord.from_json(record)
    head = f"{fault}: term {fault.term_before} to {fault.term_after}"
    return [head, *(f"{results[item.holds]}: {item.expected} ({item.observed})" for item in fault.evidence)]


def verdict_lines(verdict: dict[str, Any], report: str) -> list[str]:
    """The verdict, finding by finding, for people."""
    findings = [f"{item['verdict'] or 'not judged'}: {item['name']}: {item['summary']}" for item in verdict["findings"]]
    mutants = [f"the nodes are broken on purpose ({name}): {breaks}" for name, breaks in verdict["mutants"].items()]
    return [f"verdict {verdict['verdict']}", *mutants, *findings, f"report: {report}"]


SAID_OF = {
    "state_hash": ("state machine safety", "these nodes log no hashes of their state"),
    "vote_granted": ("votes", "these nodes log no votes"),
    "resources_used": ("resources", "these nodes do not log what they use"),
}
"""Events that another Raft may lack: which finding then says nothing, and why."""


def chaos_not_judged(logs: list[str]) -> dict[str, str]:
    """What the nodes' logs say nothing of, with the reason."""
    texts = [Path(log).read_text(encoding="utf-8", errors="replace") for log in logs]
    return dict(said for event, said in SAID_OF.items() if not any(f'"{event}"' in text for text in texts))


def hashes_pending(logs: list[str]) -> str:
    """Which nodes have not told the newest state hash yet that another has; empty when none lacks it."""
    newest = dict.fromkeys(logs, 0)
    for log in logs:
        for line in Path(log).read_text(encoding="utf-8", errors="replace").splitlines():
            if '"state_hash"' in line:
                newest[log] = max(newest[log], _applied_index(line))
    last = max(newest.values(), default=0)
    return ", ".join(f"{log} (up to {index} of {last})" for log, index in newest.items() if index < last)


def _applied_index(line: str) -> int:
    try:
        return int(json.loads(line)["applied_index"])
    except (ValueError, KeyError, TypeError):  # a crash tore it
        return 0


def log_since(text: str, since: str) -> str:
    """The lines of a log since a time (RFC 3339), and before them those of the life that the node was in then."""
    begin = datetime.fromisoformat(since)
    lines = text.splitlines(keepends=True)
    first = 0
    for number, line in enumerate(lines):
        try:
            event = json.loads(line)
            at = datetime.fromisoformat(event["ts"])
        except (ValueError, KeyError, TypeError):
            continue
        if at >= begin:
            return "".join(lines[first:])
        if event["event"] == "node_started":
            first = number
    return ""


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {
            "chaos_faults": chaos_faults,
            "workload_arguments": workload_arguments,
            "json_lines": json_lines,
            "evidence_lines": evidence_lines,
            "verdict_lines": verdict_lines,
            "log_since": log_since,
            "chaos_not_judged": chaos_not_judged,
            "hashes_pending": hashes_pending,
        }
