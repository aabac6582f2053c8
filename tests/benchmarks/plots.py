"""Plots of throughput and latency against outstanding operations: a line with its spread for each system."""

from collections.abc import Sequence
from typing import Any

from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, PrintfTickFormatter, Range1d
from bokeh.models.annotations import Legend, LegendItem, TeeHead, Whisker
from bokeh.plotting import figure

from tests.benchmarks.goals import LOADS, line_of
from tests.benchmarks.session import Record
from tests.benchmarks.spread import Spread

# Okabe and Ito's colours, distinguishable with colour blindness; markers and dashes repeat the information.
STYLES: dict[str, tuple[str, str, str]] = {
    "raft_pkg": ("#0072B2", "circle", "solid"),
    "raft_pkg, leases": ("#56B4E9", "diamond", "dashed"),
    "etcd": ("#E69F00", "square", "solid"),
    "etcd, h2load": ("#D55E00", "triangle", "dotted"),
    "PySyncObj": ("#009E73", "inverted_triangle", "dashdot"),
}
NUMBERS = {"per_second": "operations per second", "p50_ms": "p50, ms", "p99_ms": "p99, ms"}


def plots_of(records: Sequence[Record]) -> dict[str, figure]:
    """Return the plots of the measured parts, by the id of their HTML element."""
    plots = {}
    for mix, (part, title) in LOADS.items():
        chosen = [r for r in records if r["part"] == part and r.get("mix") == mix]
        for number, label in NUMBERS.items() if chosen else ():
            plots[f"{part}-{number}"] = _plot(chosen, number, f"{title}: {label}", f"{part}-{number}")
    return plots


def _plot(records: Sequence[Record], number: str, title: str, name: str) -> figure:
    numbers = [record[number] for record in records]
    plot = figure(
        y_range=Range1d(start=min(numbers) / 1.3, end=max(numbers) * 1.3),
        title=title,
        name=name,
        height=360,
        sizing_mode="stretch_width",
        x_axis_type="log",
        y_axis_type="log",
        x_axis_label="outstanding operations",
        tools="reset",
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
    )
    plot.toolbar.logo = None
    plot.xaxis.ticker = FixedTicker(ticks=sorted({record["outstanding"] for record in records}))
    plot.xaxis.formatter = PrintfTickFormatter(format="%d")
    plot.yaxis.formatter = PrintfTickFormatter(format="%g" if number != "per_second" else "%d")
    items = []
    for system, (colour, marker, dash) in STYLES.items():
        points = _points([record for record in records if line_of(record) == system], number)
        if points["outstanding"]:
            items.append(_line(plot, system, points, (colour, marker, dash)))
    plot.add_layout(
        Legend(items=items, orientation="horizontal", ncols="auto", background_fill_color=None, border_line_color=None),
        "below",
    )
    return plot


def _points(records: Sequence[Record], number: str) -> dict[str, list[Any]]:
    counts = sorted({record["outstanding"] for record in records})
    spreads = [Spread.of([r[number] for r in records if r["outstanding"] == count]) for count in counts]
    return {
        "outstanding": counts,
        "median": [spread.median for spread in spreads],
        "minimum": [spread.minimum for spread in spreads],
        "maximum": [spread.maximum for spread in spreads],
    }


def _line(plot: figure, system: str, points: dict[str, list[Any]], style: tuple[str, str, str]) -> LegendItem:
    colour, marker, dash = style
    source = ColumnDataSource({**points, "system": [system] * len(points["outstanding"])})
    line: Any = plot.line("outstanding", "median", source=source, color=colour, line_width=2, line_dash=dash)
    dots: Any = plot.scatter("outstanding", "median", source=source, color=colour, marker=marker, size=9)
    head = TeeHead(line_color=colour, size=8)
    whisker = Whisker(base="outstanding", lower="minimum", upper="maximum", source=source, line_color=colour)
    whisker.update(lower_head=head, upper_head=head)
    plot.add_layout(whisker)
    tooltips = [
        ("", "@system, @outstanding outstanding"),
        ("", "@median{0,0.00} (@minimum{0,0.00} … @maximum{0,0.00})"),
    ]
    plot.add_tools(HoverTool(renderers=[dots], tooltips=tooltips))
    return LegendItem(label=system, renderers=[line, dots])
