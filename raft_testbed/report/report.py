"""The page: one HTML file that holds all it needs, verdict first."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from bokeh.embed.util import OutputDocumentFor, standalone_docs_json_and_render_items
from bokeh.plotting import figure
from bokeh.resources import Resources
from jinja2 import Environment

from raft_testbed.checker.verdict import Verdict
from raft_testbed.report.plots import ROLE_COLOURS, run_figures, violation_figure
from raft_testbed.report.points import points_of, rates_of, thinned
from raft_testbed.verdict.availability import Cost, costs
from raft_testbed.verdict.coverage import fault_verdict
from raft_testbed.verdict.finding import Finding
from raft_testbed.verdict.judge import RunVerdict

SIGNS = {"ok": "✓", "violation": "✗", "unknown": "?", "none": "·"}
TITLES = {
    "ok": "ok: every promise was kept",
    "violation": "violation: a promise was broken",
    "unknown": "unknown: nobody can say",
}


def render(verdict: RunVerdict) -> str:
    """The report on a run as HTML."""
    run = verdict.run
    points = points_of(run.operations, run.started, run.ended)
    drawn = thinned(points)
    violations = [(v, judgement.start) for judgement in verdict.judgements.values() for v in judgement.violations]
    marked = [
        v.counterexample.finding.unexplained.completed_at / 1e9 - run.started
        for v, _ in violations
        if v.counterexample.finding.unexplained is not None
    ]
    elements = {
        f"plot-{plot.name}": plot for plot in run_figures(run, drawn, rates_of(points, run.ended - run.started), marked)
    }
    told = []
    for number, (violation, start) in enumerate(violations):
        element = f"violation-{number}"
        elements[element] = violation_figure(violation, start)
        told.append(
            {
                "summary": violation.summary,
                "explanation": violation.explanation,
                "is_minimal": violation.counterexample.is_minimal,
                "element": element,
            }
        )
    deciding = [f for f in verdict.findings if f.verdict is verdict.verdict and f.verdict is not Verdict.OK]
    template = resources.files("raft_testbed.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    return (
        Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        .from_string(template)
        .render(
            verdict=verdict,
            title=_title(verdict.verdict, deciding),
            deciding=deciding,
            facts=_facts(verdict),
            mutants=run.mutants,
            roles=ROLE_COLOURS,
            signs=SIGNS,
            violations=told,
            faults=[_fault_row(number, cost, run.started) for number, cost in _numbered(costs(run))],
            drawn=len(drawn),
            total=len(points),
            directory=run.directory,
            description=json.dumps(run.description, indent=2, ensure_ascii=False),
            library=Resources(mode="inline", components=["bokeh"]).js_raw[0],
            plots=_embedded(elements),
        )
    )


def _title(verdict: Verdict, deciding: Sequence[Finding]) -> str:
    """The verdict in words. A fault that did not happen breaks no promise, but then the run does not show it kept."""
    if verdict is Verdict.VIOLATION and {finding.name for finding in deciding} == {"coverage"}:
        return "violation: a fault did not have the expected effect"
    return TITLES[verdict]


def _embedded(elements: dict[str, figure]) -> str:
    """All plots as one JSON document, which can stand in a script element; each is to go into the element named."""
    plots = list(elements.values())
    with OutputDocumentFor(plots):
        documents, (item,) = standalone_docs_json_and_render_items(plots)
        roots = {plot.id: element for element, plot in elements.items()}
        content = {"documents": documents, "items": [{**item.to_json(), "roots": roots}]}
    return json.dumps(content).replace("<", "\\u003c")


def _facts(verdict: RunVerdict) -> list[str]:
    run = verdict.run
    operations = sum(len(client.operations) for client in run.clients)
    description = run.description
    facts = [f"{len(run.nodes)} nodes", f"{operations:,} operations in {run.ended - run.started:.0f} s"]
    named = ("system", "platform", "seed")
    facts += [f"{name} {description[name]}" for name in named if description.get(name) is not None]
    return [*facts, f"{datetime.fromtimestamp(run.started, UTC):%Y-%m-%d %H:%M:%S} UTC"]


def _numbered(found: Sequence[Cost]) -> list[tuple[str, Cost]]:
    """The numbers that the timeline shows: those that were skipped have none."""
    numbers = iter(range(1, len(found) + 1))
    return [("" if cost.fault.skipped is not None else str(next(numbers)), cost) for cost in found]


def _fault_row(number: str, cost: Cost, started: float) -> dict[str, Any]:
    fault = cost.fault
    promised = fault.unavailability_slo_seconds
    return {
        "number": number,
        "name": fault.fault,
        "target": f"of {', '.join(fault.targets)}" if fault.targets else "",
        "skipped": fault.skipped,
        "time": f"{fault.injected_at - started:.1f} … {fault.healed_at - started:.1f} s",
        "cost": "no client at work" if cost.gap is None else f"{cost.gap.seconds:.3f} s",
        "promised": "nothing" if promised is None else f"at most {promised:g} s",
        "verdict": str(cost.verdict) if cost.verdict is not None else "none",
        "happened": str(fault_verdict(fault)),
        "evidence": fault.evidence,
    }
