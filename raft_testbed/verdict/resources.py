"""Resource limits of nodes: memory, open files and disk usage must not grow for as long as a run lasts."""

from raft_pkg.events import Event
from raft_testbed.checker.verdict import Verdict
from raft_testbed.verdict.directory import NodeLog, Run
from raft_testbed.verdict.finding import Finding, violation_or_ok

NAME = "resources"
MIB = 1 << 20
RESOURCES = {
    "resident_mib": ("resident_bytes", MIB, "MiB of memory"),
    "data_mib": ("data_bytes", MIB, "MiB on disk"),
    "open_files": ("open_files", 1, "open files"),
}
"""For each limit: the field of the event `resources_used`, its unit, and a description."""


def judge_resources(run: Run) -> Finding:
    """Require that no node ever exceeded `resources_max` of run.json."""
    limits: dict[str, float] = run.description.get("resources_max") or {}
    unknown = sorted(limits.keys() - RESOURCES.keys())
    if unknown:
        summary = f"resources_max: unknown limit: {', '.join(unknown)}; known: {', '.join(RESOURCES)}"
        return Finding(NAME, Verdict.UNKNOWN, summary)
    if not limits:
        return Finding(NAME, None, "run.json states no limits")
    problems, details, peaks = [], [], {}
    for name, limit in limits.items():
        _, _, description = RESOURCES[name]
        used = {node: _usage(log, name) for node, log in run.logs.items()}
        missing = [node for node, values in used.items() if not values]
        if missing:
            return Finding(NAME, Verdict.UNKNOWN, f"{', '.join(missing)} logged no {description}")
        for node, values in used.items():
            details.append(
                f"{node}: {description}: first {values[0]:,.0f}, last {values[-1]:,.0f}, peak {max(values):,.0f}"
            )
            if max(values) > limit:
                problems.append(f"{node} used {max(values):,.0f} {description}; the limit is {limit:,}")
        peaks[name] = max(max(values) for values in used.values())
    within = ", ".join(f"{peaks[name]:,.0f} {RESOURCES[name][2]} (limit {limits[name]:,})" for name in limits)
    finding = violation_or_ok(NAME, problems, f"peak usage: {within}", **peaks)
    finding.details += details
    return finding


def _usage(log: NodeLog, name: str) -> list[float]:
    field, unit, _ = RESOURCES[name]
    values = [event.fields.get(field) for event in log.events if event.event == Event.RESOURCES_USED]
    return [value / unit for value in values if isinstance(value, int)]
