"""Results of a run as files: every measurement, tables in Markdown, and an HTML report with plots."""

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment

from raft_testbed.report.embedding import embedded, library
from tests.benchmarks.goals import Row, loads, rows
from tests.benchmarks.plots import plots_of

MET = {True: "met", False: "**missed**", None: ""}


def write(run: dict[str, Any], output: Path) -> None:
    """Write bench.json, bench.md and bench.html; replace existing files."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "bench.json").write_text(json.dumps(run, indent=1) + "\n")
    (output / "bench.md").write_text(markdown(run))
    (output / "bench.html").write_text(html(run))


def markdown(run: dict[str, Any]) -> str:
    """Return the tables of targets and loads, the environment, and what was not measured."""
    return "\n".join(_markdown(run)) + "\n"


def html(run: dict[str, Any]) -> str:
    """Return one self-contained HTML file."""
    plots = plots_of(run["records"])
    template = resources.files("tests.benchmarks").joinpath("report.html.j2").read_text(encoding="utf-8")
    return (
        Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        .from_string(template)
        .render(
            run=run,
            rows=rows(run["records"]),
            loads=loads(run["records"]),
            not_measured=_not_measured(run),
            environment=[*_environment(run)],
            plots=[*plots],
            library=library(),
            content=embedded(plots),
        )
    )


def _markdown(run: dict[str, Any]) -> Iterator[str]:
    yield f"# Benchmarks of {run['began'][:10]}"
    yield ""
    for name, value in _environment(run):
        yield f"- {name}: {value}"
    if run["quick"]:
        yield "- **a quick run: one short round; its results are not meaningful**"
    yield ""
    yield "| # | what | measured: median (minimum … maximum) | target | |"
    yield "|---|---|---|---|---|"
    for row in rows(run["records"]):
        yield _table_line(row)
    for load in loads(run["records"]):
        yield ""
        yield f"{load.title}: operations per second; p50 in ms, by outstanding operations:"
        yield ""
        yield f"| | {' | '.join(map(str, load.outstanding))} |"
        yield "|---" * (len(load.outstanding) + 1) + "|"
        for system, cells in load.cells.items():
            yield f"| {system} | {' | '.join(cells)} |"
    for line in _not_measured(run):
        yield ""
        yield f"Not measured: {line}"
    yield ""
    yield f"`make bench{' QUICK=1' if run['quick'] else ''}`; see docs/explanation/benchmarks.md for the method."


def _table_line(row: Row) -> str:
    return f"| {row.number or ''} | {row.what} | {row.measured} | {row.target} | {MET[row.met]} |"


def _not_measured(run: dict[str, Any]) -> list[str]:
    notes = [f"{r['part']}, {r['system']}: {r['not_measured']}" for r in run["records"] if "not_measured" in r]
    return [*notes, *(f"{part}: {why}" for part, why in run["failures"].items())]


def _environment(run: dict[str, Any]) -> Iterator[tuple[str, str]]:
    machine = run["machine"]
    description = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']:g} GB, Linux {machine['kernel']}, "
        f"{machine['file_system']}; load {machine['load_before']:.1f} before and {machine['load_after']:.1f} after"
    )
    yield "machine", description
    yield "versions", ", ".join(f"{name} {version or 'not installed'}" for name, version in run["versions"].items())
    yield "time", f"{run['began']}, {run['seconds'] / 60:.0f} minutes; parts: {', '.join(run['parts'])}"
