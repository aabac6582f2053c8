"""Filters of the role chaos: the faults of a scenario, and what became of them."""

from __future__ import annotations

import json
from typing import Any

from raft_testbed.faults import FaultRecord
from raft_testbed.nemesis.scenario import plan_faults
from raft_testbed.verdict import node_logs


def chaos_faults(scenario: dict[str, Any], seed: int, seconds: int = 0) -> list[dict[str, Any]]:
    """Return the planned record of each fault of a scenario, in order."""
    return [record.to_json() for record in plan_faults(scenario, seed, seconds)]


def workload_arguments(workload: dict[str, Any], seed: int, run_id: str, final_seconds_max: int) -> list[str]:
    """Return the arguments of a `raftctl workload` that runs until SIGUSR1."""
    options = {name.replace("_", "-"): value for name, value in workload.items()}
    settings = {**options, "duration": 0, "seed": seed, "run-id": run_id, "final-reads-limit": final_seconds_max}
    return [f"--{name}={value}" for name, value in settings.items()]


def json_lines(records: list[dict[str, Any]]) -> str:
    """Return records as JSON lines."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def evidence_lines(record: dict[str, Any]) -> list[str]:
    """Return a fault's record as lines for people."""
    results = {True: "observed", False: "NOT OBSERVED", None: "not determined"}
    fault = FaultRecord.from_json(record)
    head = f"{fault}: term {fault.term_before} to {fault.term_after}"
    return [head, *(f"{results[item.holds]}: {item.expected} ({item.observed})" for item in fault.evidence)]


def verdict_lines(verdict: dict[str, Any], report: str) -> list[str]:
    """Return verdict and findings as lines for people."""
    findings = [f"{item['verdict'] or 'not judged'}: {item['name']}: {item['summary']}" for item in verdict["findings"]]
    mutants = [f"the nodes run a mutant ({name}): {description}" for name, description in verdict["mutants"].items()]
    return [f"verdict {verdict['verdict']}", *mutants, *findings, f"report: {report}"]


def chaos_not_judged(logs: list[str]) -> dict[str, str]:
    """Return the findings that the nodes' logs (paths) allow no verdict on, with the reason."""
    return node_logs.properties_not_judged(map(node_logs.read_log, logs))


def hashes_pending(logs: list[str]) -> str:
    """Return which logs (paths) lack the latest state hash that another one has; empty if none does."""
    return node_logs.state_hashes_pending({log: node_logs.read_log(log) for log in logs})


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {
            "chaos_faults": chaos_faults,
            "workload_arguments": workload_arguments,
            "json_lines": json_lines,
            "evidence_lines": evidence_lines,
            "verdict_lines": verdict_lines,
            "log_since": node_logs.log_since,
            "chaos_not_judged": chaos_not_judged,
            "hashes_pending": hashes_pending,
        }
