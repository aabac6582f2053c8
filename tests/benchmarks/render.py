"""A run as files: every number, a table in Markdown, and a page with plots."""

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment

from tests.benchmarks.figures import embedded, figures, library
from tests.benchmarks.goals import Row, loads, rows

MET = {True: "met", False: "**missed**", None: ""}


def write(run: dict[str, Any], output: Path) -> None:
    """bench.json, bench.md and bench.html, each in place of the one before."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "bench.json").write_text(json.dumps(run, indent=1) + "\n")
    (output / "bench.md").write_text(markdown(run))
    (output / "bench.html").write_text(page(run))


def markdown(run: dict[str, Any]) -> str:
    """The table of targets, what was not measured, and on what."""
    return "\n".join(_markdown(run)) + "\n"


def page(run: dict[str, Any]) -> str:
    """One HTML file that holds all it needs."""
    plots = figures(run["records"])
    template = resources.files("tests.benchmarks").joinpath("page.html.j2").read_text(encoding="utf-8")
    return (
        Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        .from_string(template)
        .render(
            run=run,
            rows=rows(run["records"]),
            loads=loads(run["records"]),
            not_measured=_not_measured(run),
            surroundings=[*_surroundings(run)],
            plots=[*plots],
            library=library(),
            content=embedded(plots),
        )
    )


def _markdown(run: dict[str, Any]) -> Iterator[str]:
    yield f"# Benchmarks of {run['began'][:10]}"
    yield ""
    for name, value in _surroundings(run):
        yield f"- {name}: {value}"
    if run["quick"]:
        yield "- **a quick run: one short round, whose numbers mean little**"
    yield ""
    yield "| # | what | found: median (least … greatest) | target | |"
    yield "|---|---|---|---|---|"
    for row in rows(run["records"]):
        yield _table_line(row)
    for load in loads(run["records"]):
        yield ""
        yield f"{load.title}, operations a second; p50 in ms, by how many are under way:"
        yield ""
        yield f"| | {' | '.join(map(str, load.outstanding))} |"
        yield "|---" * (len(load.outstanding) + 1) + "|"
        for system, cells in load.cells.items():
            yield f"| {system} | {' | '.join(cells)} |"
    for line in _not_measured(run):
        yield ""
        yield f"Not measured: {line}"
    yield ""
    yield f"`make bench{' QUICK=1' if run['quick'] else ''}`; docs/explanation/benchmarks.md says how it is measured."


def _table_line(row: Row) -> str:
    return f"| {row.number or ''} | {row.what} | {row.found} | {row.target} | {MET[row.met]} |"


def _not_measured(run: dict[str, Any]) -> list[str]:
    notes = [f"{r['part']}, {r['system']}: {r['not_measured']}" for r in run["records"] if "not_measured" in r]
    return [*notes, *(f"{part}: {why}" for part, why in run["failures"].items())]


def _surroundings(run: dict[str, Any]) -> Iterator[tuple[str, str]]:
    machine = run["machine"]
    told = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']:g} GB, Linux {machine['kernel']}, "
        f"{machine['file_system']}; load {machine['load_before']:.1f} before and {machine['load_after']:.1f} after"
    )
    yield "machine", told
    yield "versions", ", ".join(f"{name} {version or 'not installed'}" for name, version in run["versions"].items())
    yield "time", f"{run['began']}, {run['seconds'] / 60:.0f} minutes; parts: {', '.join(run['parts'])}"
