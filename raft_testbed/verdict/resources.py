"""Whether nodes kept within bounds: memory, open files and disk must not grow for as long as a run lasts."""

from raft_testbed.checker.verdict import Verdict
from raft_testbed.verdict.directory import NodeLog, Run
from raft_testbed.verdict.finding import Finding, violation_or_ok

NAME = "resources"
MIB = 1 << 20
MEASURES = {
    "resident_mib": ("resident_bytes", MIB, "MiB of memory"),
    "data_mib": ("data_bytes", MIB, "MiB on disk"),
    "open_files": ("open_files", 1, "open files"),
}
"""Of each bound: the field of `resources_used`, its unit, and words for it."""


def judge_resources(run: Run) -> Finding:
    """No node may ever have used more than `resources_max` of run.json says."""
    bounds: dict[str, float] = run.description.get("resources_max") or {}
    unknown = sorted(bounds.keys() - MEASURES.keys())
    if unknown:
        summary = f"resources_max: no such bound: {', '.join(unknown)}; there are {', '.join(MEASURES)}"
        return Finding(NAME, Verdict.UNKNOWN, summary)
    if not bounds:
        return Finding(NAME, None, "no bounds were stated")
    problems, details, most = [], [], {}
    for bound, greatest in bounds.items():
        _, _, words = MEASURES[bound]
        used = {node: _used(log, bound) for node, log in run.logs.items()}
        silent = [node for node, values in used.items() if not values]
        if silent:
            return Finding(NAME, Verdict.UNKNOWN, f"{', '.join(silent)} logged no {words}")
        for node, values in used.items():
            details.append(
                f"{node}: {words}: first {values[0]:,.0f}, last {values[-1]:,.0f}, at most {max(values):,.0f}"
            )
            if max(values) > greatest:
                problems.append(f"{node} used {max(values):,.0f} {words}; at most {greatest:,} were to be")
        most[bound] = max(max(values) for values in used.values())
    good = ", ".join(f"{most[bound]:,.0f} {MEASURES[bound][2]} (of {bounds[bound]:,})" for bound in bounds)
    finding = violation_or_ok(NAME, problems, f"at most {good}", **most)
    finding.details += details
    return finding


def _used(log: NodeLog, bound: str) -> list[float]:
    name, unit, _ = MEASURES[bound]
    values = [event.fields.get(name) for event in log.events if event.event == "resources_used"]
    return [value / unit for value in values if isinstance(value, int)]
