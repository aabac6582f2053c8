"""Filters over chaos scenarios: what a file says, checked and made into steps; and words for what came of them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from raft_testbed.faults import FaultRecord

Scenario = dict[str, Any]
Step = dict[str, Any]

MEMBERS = {"description", "workload", "operations_ok_min", "resources_max", "faults", "random"}
FAULT_MEMBERS = {"fault", "target", "seconds", "options"}
RANDOM_MEMBERS = {"seconds", "faults"}
WORKLOAD_OPTIONS = {"clients", "readers", "rate", "keys", "mix", "timeout", "value_bytes"}
STEP_SECONDS_MIN = 5
"""No step takes less, so that a random scenario has enough of them."""


def _refuse_unknown(what: str, found: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(found.keys() - known)
    if unknown:
        raise ValueError(f"{what}: no such member: {', '.join(unknown)}; there are {', '.join(sorted(known))}")


def check_scenario(scenario: Scenario) -> None:
    """Raises ValueError, naming what is wrong."""
    _refuse_unknown("scenario", scenario, MEMBERS)
    for name in ("description", "operations_ok_min"):
        if name not in scenario:
            raise ValueError(f"scenario: {name} is missing")
    _refuse_unknown("workload", scenario.get("workload") or {}, WORKLOAD_OPTIONS)
    if ("faults" in scenario) == ("random" in scenario):
        raise ValueError("scenario: give either faults, in their order, or random")
    if "random" in scenario:
        _refuse_unknown("random", scenario["random"], RANDOM_MEMBERS)
    faults = scenario["faults"] if "faults" in scenario else scenario["random"]["faults"]
    if not faults:
        raise ValueError("scenario: there are no faults")
    for fault in faults:
        _refuse_unknown(f"fault {fault}", fault, FAULT_MEMBERS)
        if not fault.get("fault"):
            raise ValueError(f"fault {fault}: it has no name in `fault`")
        seconds = fault.get("seconds")
        if isinstance(seconds, list) and (len(seconds) != 2 or seconds[0] > seconds[1]):
            raise ValueError(f"fault {fault}: seconds are a number, or the least and the greatest")


def chaos_steps(scenario: Scenario, seed: int, seconds: int = 0) -> list[Step]:
    """The steps of a scenario, the same for the same seed; of a random one, more than its time can hold."""
    check_scenario(scenario)
    rng = Random(f"steps {seed}")
    if "faults" in scenario:
        chosen = scenario["faults"]
    else:
        limit = int(seconds) or scenario["random"]["seconds"]
        chosen = rng.choices(scenario["random"]["faults"], k=max(1, int(limit) // STEP_SECONDS_MIN))
    steps = []
    for number, fault in enumerate(chosen, start=1):
        hold = fault.get("seconds")
        steps.append(
            {
                "number": number,
                "fault": fault["fault"],
                "target": fault.get("target", ""),
                "seconds": round(rng.uniform(*hold), 3) if isinstance(hold, list) else hold,
                "options": fault.get("options") or {},
                "rng": f"{seed}/{number}",
            }
        )
    return steps


def workload_arguments(workload: dict[str, Any], seed: int, run_id: str, final_seconds_max: int) -> list[str]:
    """Arguments of `raftctl workload`, which works until it is told that it is enough."""
    options = {name.replace("_", "-"): value for name, value in workload.items()}
    settings = {**options, "duration": 0, "seed": seed, "run-id": run_id, "final-reads-limit": final_seconds_max}
    return [f"--{name}={value}" for name, value in settings.items()]


def json_lines(records: list[dict[str, Any]]) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def window_lines(window: dict[str, Any]) -> list[str]:
    """What was seen of a fault, for people."""
    words = {True: "seen", False: "NOT SEEN", None: "nobody could tell"}
    record = FaultRecord.from_json(window)
    head = f"{record}: term {record.term_before} to {record.term_after}"
    return [head, *(f"{words[item.holds]}: {item.expected} ({item.observed})" for item in record.evidence)]


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
            "chaos_steps": chaos_steps,
            "workload_arguments": workload_arguments,
            "json_lines": json_lines,
            "window_lines": window_lines,
            "verdict_lines": verdict_lines,
            "log_since": log_since,
            "chaos_not_judged": chaos_not_judged,
            "hashes_pending": hashes_pending,
        }
