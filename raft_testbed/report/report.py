"""The report on a run: one self-contained HTML file, verdict first."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from jinja2 import Environment

from raft_testbed.checker.verdict import Verdict
from raft_testbed.report.embedding import embedded, library
from raft_testbed.report.plots import timeline_plots, violation_plot
from raft_testbed.verdict.availability import Unavailability, unavailability_by_fault
from raft_testbed.verdict.coverage import fault_verdict
from raft_testbed.verdict.finding import Finding
from raft_testbed.verdict.judge import RunFinding

SIGNS = {"ok": "✓", "violation": "✗", "unknown": "?", "none": "·"}
TITLES = {
    "ok": "ok: every property holds",
    "violation": "violation: a property does not hold",
    "unknown": "unknown: a property could not be determined",
}


def render(finding: RunFinding) -> str:
    """Return the report as HTML, about 2 MB, that needs neither network nor other files."""
    run = finding.run
    violations = [(v, history.start) for history in finding.histories.values() for v in history.violations]
    unexplained = [
        v.counterexample.finding.unexplained.completed_at / 1e9 - run.started
        for v, _ in violations
        if v.counterexample.finding.unexplained is not None
    ]
    timeline = timeline_plots(run, unexplained)
    elements = {f"plot-{item.plot.name}": item.plot for item in timeline}
    sections = []
    for number, (violation, start) in enumerate(violations):
        element = f"violation-{number}"
        elements[element] = violation_plot(violation, start)
        sections.append(
            {
                "summary": violation.summary,
                "explanation": violation.explanation,
                "is_minimal": violation.counterexample.is_minimal,
                "element": element,
            }
        )
    deciding = [f for f in finding.findings if f.verdict is finding.verdict and f.verdict is not Verdict.OK]
    template = resources.files("raft_testbed.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    return (
        Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        .from_string(template)
        .render(
            run=run,
            verdict=finding.verdict,
            findings=finding.findings,
            title=_title(finding.verdict, deciding),
            deciding=deciding,
            facts=_facts(finding),
            mutants=run.mutants,
            timeline=timeline,
            signs=SIGNS,
            violations=sections,
            faults=[_fault_row(number, item, run.started) for number, item in _numbered(unavailability_by_fault(run))],
            description=json.dumps(run.description, indent=2, ensure_ascii=False),
            library=library(),
            plots=embedded(elements),
        )
    )


def _title(verdict: Verdict, deciding: Sequence[Finding]) -> str:
    """Return the verdict as a sentence. A fault without effect breaks no property, so it has a sentence of its own."""
    if verdict is Verdict.VIOLATION and {finding.name for finding in deciding} == {"coverage"}:
        return "violation: a fault did not have the expected effect"
    return TITLES[verdict]


def _facts(finding: RunFinding) -> list[str]:
    run = finding.run
    operations = sum(len(client.operations) for client in run.clients)
    description = run.description
    facts = [f"{len(run.nodes)} nodes", f"{operations:,} operations in {run.ended - run.started:.0f} s"]
    named = ("system", "platform", "seed")
    facts += [f"{name} {description[name]}" for name in named if description.get(name) is not None]
    return [*facts, f"{datetime.fromtimestamp(run.started, UTC):%Y-%m-%d %H:%M:%S} UTC"]


def _numbered(items: Sequence[Unavailability]) -> list[tuple[str, Unavailability]]:
    """Number the faults as the role plot does; skipped faults have no number."""
    numbers = iter(range(1, len(items) + 1))
    return [("" if item.fault.skipped is not None else str(next(numbers)), item) for item in items]


def _fault_row(number: str, item: Unavailability, started: float) -> dict[str, Any]:
    fault = item.fault
    slo = fault.unavailability_slo_seconds
    return {
        "number": number,
        "name": fault.fault,
        "targets": f"of {', '.join(fault.targets)}" if fault.targets else "",
        "skipped": fault.skipped,
        "time": f"{fault.injected_at - started:.1f} … {fault.healed_at - started:.1f} s",
        "unavailable": "no client was active" if item.longest is None else f"{item.longest.seconds:.3f} s",
        "slo": "none" if slo is None else f"at most {slo:g} s",
        "verdict": str(item.verdict) if item.verdict is not None else "none",
        "effect": str(fault_verdict(fault)),
        "evidence": fault.evidence,
    }
