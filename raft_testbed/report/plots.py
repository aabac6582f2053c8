"""The plots of a report: roles, latency and rate on one time axis, and one plot for each violation."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain, pairwise
from typing import Any

from bokeh.models import ColumnDataSource, FactorRange, HoverTool, PrintfTickFormatter, Range1d
from bokeh.models.annotations import BoxAnnotation, Legend, LegendItem, Span
from bokeh.models.renderers import GlyphRenderer
from bokeh.plotting import figure

from raft_testbed.checker.explained_finding import ExplainedViolation
from raft_testbed.checker.explanation import describe
from raft_testbed.faults import FaultRecord
from raft_testbed.history import FUNCTIONS, Operation
from raft_testbed.report.points import Point, points_of, rates_of, thin_out
from raft_testbed.report.role_intervals import (
    CANDIDATE,
    DOWN,
    FOLLOWER,
    LEADER,
    LEADERLESS,
    PRE_CANDIDATE,
    STARTING,
    leader_changes,
    role_intervals,
)
from raft_testbed.verdict.directory import Run

# Okabe and Ito's colours, distinguishable with colour blindness; shapes and words repeat the information.
BLUE, SKY, GREEN, YELLOW, ORANGE, VERMILION, PURPLE, GREY = (
    *("#0072B2", "#56B4E9", "#009E73", "#F0E442", "#E69F00", "#D55E00", "#CC79A7", "#8A8A8A"),
)
ROLE_COLOURS = {
    LEADER: BLUE,
    FOLLOWER: "#A9D6F0",
    LEADERLESS: "#D9D9D9",
    PRE_CANDIDATE: YELLOW,
    CANDIDATE: ORANGE,
    STARTING: GREEN,
    DOWN: "#3A3A3A",
}
FUNCTION_COLOURS = {"read": SKY, "write": ORANGE, "cas": GREEN, "append": PURPLE, "delete": BLUE}
OUTCOME_MARKERS = {"ok": "circle", "fail": "x", "info": "inverted_triangle"}
OUTCOME_COLOURS = {"ok": GREEN, "fail": ORANGE, "info": VERMILION}
OUTCOME_WORDS = {"ok": "ok", "fail": "failed", "info": "unknown"}
FAULTS_ROW = "faults"
LEFT_BORDER_PIXELS = 74
INK = "#111111"
LABEL_COLOURS = {role: "#ffffff" if role == LEADER else INK for role in ROLE_COLOURS}
UNCONSTRAINED_DRAWN_MAX = 8
DESCRIPTION_CHARACTERS_MAX = 28
"""Longer descriptions above a bar are truncated, to fit on a phone."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label in a row of the role plot, for an interval in seconds since the run started."""

    row: str
    began: float
    ended: float
    long: str
    short: str
    colour: str = INK


@dataclass(frozen=True, slots=True)
class TimelineData:
    """What the plots of the timeline show."""

    run: Run
    points: Sequence[Point]
    """A point for each operation."""
    time_axis: Range1d
    """The common time axis, in seconds since the run started."""


@dataclass(frozen=True, slots=True)
class TimelinePlot:
    """A plot of the timeline, and the text below it."""

    plot: figure
    caption: str = ""
    legend: Mapping[str, str] = field(default_factory=dict)
    """Colours by label."""


def timeline_plots(run: Run, unexplained: Iterable[float]) -> list[TimelinePlot]:
    """Return the plots in TIMELINE, on one time axis.

    `unexplained` are the times of unexplained outcomes, in seconds since the run started.
    """
    seconds = run.ended - run.started
    time_axis = Range1d(start=0, end=seconds, bounds=(-0.02 * seconds, 1.02 * seconds))
    data = TimelineData(run, points_of(run.operations, run.started, run.ended), time_axis)
    plots = [make(data) for make in TIMELINE]
    moments = list(unexplained)
    for plot in (item.plot for item in plots):
        for fault in run.faults:
            if fault.skipped is None:
                plot.add_layout(_fault_interval(fault, run.started))
        for at, _, _ in leader_changes(run):
            plot.add_layout(Span(location=at - run.started, dimension="height", line_color=BLUE, line_dash="dotted"))
        for at in moments:
            plot.add_layout(Span(location=at, dimension="height", line_color=VERMILION, line_width=2))
    plots[-1].plot.xaxis.axis_label = "seconds since the run started"
    return plots


def violation_plot(violation: ExplainedViolation, start: int) -> figure:
    """Return a plot with a bar for each operation of a counterexample, from its call to its outcome.

    The axis has one tick for each call and outcome, labelled with its time, so that short and long intervals are
    equally visible. `start` is the time of the first call, in nanoseconds since 1970.
    """
    counterexample = violation.counterexample
    unconstrained = counterexample.unconstrained[:UNCONSTRAINED_DRAWN_MAX]
    operations = [*counterexample.operations, *unconstrained]
    moments = sorted({*chain.from_iterable(_ends(operation) for operation in operations)})
    steps = {position: step for step, position in enumerate(moments)}
    end = len(moments) + 0.5
    rows = [f"process {operation.process}" + "\u200b" * place for place, operation in enumerate(operations)]
    plot = _figure(
        height=70 + 58 * len(operations),
        x_range=Range1d(start=-0.5, end=end),
        y_range=FactorRange(factors=rows[::-1], range_padding=0.1),
        name=f"violation-{violation.key}",
        left_border=92,
    )
    unexplained = counterexample.finding.unexplained
    for row, operation in zip(rows, operations, strict=True):
        left, right = steps[operation.invoked], steps.get(operation.completed or -1, end)
        is_unexplained = unexplained is not None and operation.invoked == unexplained.invoked
        plot.hbar(
            y=[row],
            left=[left],
            right=[right],
            height=0.28,
            color=VERMILION if is_unexplained else FUNCTION_COLOURS[operation.f],
            fill_alpha=0.35 if operation in unconstrained else 0.9,
            line_dash="dashed" if operation in unconstrained or operation.completed is None else "solid",
        )
        is_late = left > end * 0.45
        text = plot.text(
            x=[right if is_late else left],
            y=[row],
            y_offset=-10,
            text=[_description(operation, is_unexplained=is_unexplained)],
            text_font_size="12px",
            text_align="right" if is_late else "left",
            text_font_style="bold" if is_unexplained else "normal",
        )
        text.tags = ["foreground"]
    times = {}
    for operation in operations:
        times[operation.invoked] = operation.invoked_at
        if operation.completed is not None:
            times[operation.completed] = operation.completed_at
    plot.xaxis.ticker = list(range(len(moments)))
    plot.xaxis.major_label_overrides = {steps[p]: f"{(at - start) / 1e9:.3f}" for p, at in times.items()}
    plot.xaxis.major_label_orientation = 0.9
    plot.xaxis.axis_label = "time of calls and outcomes in seconds (not to scale)"
    plot.ygrid.visible = False
    return plot


def _figure(*, height: int, name: str, left_border: int = LEFT_BORDER_PIXELS, **options: Any) -> figure:
    plot = figure(
        height=height,
        sizing_mode="stretch_width",
        tools="xbox_zoom,xpan,xwheel_zoom,reset",
        active_drag="xbox_zoom",
        active_scroll=None,
        toolbar_location="above",
        name=name,
        min_border_left=left_border,
        min_border_right=12,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        **options,
    )
    plot.toolbar.logo = None
    plot.toolbar.autohide = False
    return plot


def _roles(data: TimelineData) -> TimelinePlot:
    run = data.run
    rows = [FAULTS_ROW, *run.nodes]
    plot = _figure(
        height=110 + 42 * len(rows),
        name="roles",
        x_range=data.time_axis,
        y_range=FactorRange(factors=rows[::-1], range_padding=0.05),
        title="Roles and terms",
    )
    intervals = role_intervals(run)
    bars = plot.hbar(
        y="node",
        left="left",
        right="right",
        height=0.72,
        color="colour",
        line_color="colour",
        source=ColumnDataSource(
            {
                "node": [interval.node for interval in intervals],
                "left": [interval.began - run.started for interval in intervals],
                "right": [interval.ended - run.started for interval in intervals],
                "role": [interval.role for interval in intervals],
                "term": [str(interval.term or "?") for interval in intervals],
                "seconds": [f"{interval.ended - interval.began:.3f}" for interval in intervals],
                "colour": [ROLE_COLOURS[interval.role] for interval in intervals],
            }
        ),
    )
    tooltips = [("", "@node: @role, term @term"), ("", "for @seconds s from @left{0.000} s")]
    plot.add_tools(HoverTool(renderers=[bars], tooltips=tooltips))
    labels = [
        Label(
            interval.node,
            interval.began - run.started,
            interval.ended - run.started,
            term,
            term,
            LABEL_COLOURS[interval.role],
        )
        for interval in intervals
        if interval.role != DOWN and (term := str(interval.term or ""))
    ]
    _draw_labels(plot, labels)
    _fault_row(plot, run)
    return TimelinePlot(plot, legend=ROLE_COLOURS)


def _fault_row(plot: figure, run: Run) -> None:
    faults = [fault for fault in run.faults if fault.skipped is None]
    source = ColumnDataSource(
        {
            "row": [FAULTS_ROW] * len(faults),
            "injected": [fault.injected_at - run.started for fault in faults],
            "healed": [fault.healed_at - run.started for fault in faults],
            "recovered": [fault.recovered_at - run.started for fault in faults],
            "fault": [str(fault) for fault in faults],
        }
    )
    style: dict[str, Any] = {"y": "row", "height": 0.72, "color": PURPLE, "line_color": PURPLE, "source": source}
    plot.hbar(left="healed", right="recovered", fill_alpha=0.25, **style)
    bars = plot.hbar(left="injected", right="healed", fill_alpha=0.75, **style)
    ends = pairwise([*(fault.injected_at - run.started for fault in faults), run.ended - run.started])
    labels = [
        Label(FAULTS_ROW, began, until, f"{number} {fault.fault}", str(number))
        for number, (fault, (began, until)) in enumerate(zip(faults, ends, strict=True), start=1)
    ]
    _draw_labels(plot, labels).tags.append("foreground")
    times = "injected at @injected{0.000} s, healed at @healed{0.000} s, recovered at @recovered{0.000} s"
    tooltips = [("", "@fault"), ("", times)]
    plot.add_tools(HoverTool(renderers=[bars], tooltips=tooltips))


def _draw_labels(plot: figure, labels: Sequence[Label]) -> "GlyphRenderer[Any]":
    """Add labels; the script of the report places each at the visible start of its interval.

    It chooses the long text, the short text or none, whichever fits.
    """
    columns: dict[str, list[Any]] = {
        column.name: [getattr(label, column.name) for label in labels] for column in fields(Label)
    }
    source = ColumnDataSource({**columns, "x": columns["began"], "text": [""] * len(labels)})
    style: dict[str, Any] = {"text_baseline": "middle", "text_font_size": "12px", "source": source}
    renderer = plot.text(x="x", y="row", text="text", x_offset=4, text_color="colour", **style)
    renderer.tags = ["labels"]
    return renderer


def _latency(data: TimelineData) -> TimelinePlot:
    points = thin_out(data.points)
    title = "Latency of every operation"
    plot = _figure(height=330, name="latency", x_range=data.time_axis, y_axis_type="log", title=title)
    plot.yaxis.axis_label = "ms"
    plot.yaxis.formatter = PrintfTickFormatter(format="%g")
    items = []
    for f in FUNCTIONS:
        chosen = [point for point in points if point.operation.f == f]
        if chosen:
            items.append(_item(f, _scatter(plot, f, chosen)))
    plot.add_tools(
        HoverTool(tooltips=[("", "@description"), ("key", "@key"), ("", "@latency ms, completed at @at{0.000} s")])
    )
    _legend(plot, items)
    caption = "● ok, ▽ outcome unknown, ✗ failed."
    if len(points) < len(data.points):
        caption += (
            f" The plot shows {len(points):,} of {len(data.points):,} operations: the unsuccessful, the slowest, "
        )
        caption += "and a sample of the others."
    return TimelinePlot(plot, caption)


def _scatter(plot: figure, f: str, points: Iterable[Point]) -> "GlyphRenderer[Any]":
    """Plot the operations of one function; unsuccessful ones are larger, have another shape, and lie on top."""
    ordered = sorted(points, key=lambda point: point.outcome != "ok")
    succeeded = [point.outcome == "ok" for point in ordered]
    source = ColumnDataSource(
        {
            "at": [round(point.at, 6) for point in ordered],
            "latency": [round(point.latency_ms, 4) for point in ordered],
            "description": [describe(point.operation) for point in ordered],
            "key": [point.operation.key for point in ordered],
            "marker": [OUTCOME_MARKERS[point.outcome] for point in ordered],
            "size": [4 if ok else 9 for ok in succeeded],
            "alpha": [0.55 if ok else 0.95 for ok in succeeded],
            "width": [0 if ok else 2 for ok in succeeded],
        }
    )
    return plot.scatter(
        "at",
        "latency",
        marker="marker",
        size="size",
        color=FUNCTION_COLOURS[f],
        fill_alpha="alpha",
        line_width="width",
        source=source,
    )


def _rate(data: TimelineData) -> TimelinePlot:
    rates = rates_of(data.points, data.run.ended - data.run.started)
    counts_axis = Range1d(start=0, end=1.05 * max(map(max, rates.by_outcome.values())) or 1)
    title = "Operations per second, by outcome"
    plot = _figure(height=220, name="rate", x_range=data.time_axis, y_range=counts_axis, title=title)
    items = []
    for outcome, counts in rates.by_outcome.items():
        line = plot.step(
            x=rates.begins,
            y=counts,
            mode="after",
            color=OUTCOME_COLOURS[outcome],
            line_width=2,
            line_dash={"ok": "solid", "fail": "dashed", "info": "dotdash"}[outcome],
        )
        items.append(_item(OUTCOME_WORDS[outcome], line))
    _legend(plot, items)
    return TimelinePlot(plot)


TIMELINE: Sequence[Callable[[TimelineData], TimelinePlot]] = (_roles, _latency, _rate)
"""The plots of the timeline, from top to bottom. Add a plot here."""


def _item(label: str, renderer: "GlyphRenderer[Any]") -> LegendItem:
    return LegendItem(label=label, renderers=[renderer])


def _legend(plot: figure, items: list[LegendItem]) -> None:
    legend = Legend(
        items=items,
        orientation="horizontal",
        click_policy="hide",
        ncols="auto",
        background_fill_color=None,
        border_line_color=None,
        label_text_font_size="12px",
        glyph_width=14,
        glyph_height=14,
        spacing=8,
        margin=2,
    )
    plot.add_layout(legend, "below")


def _fault_interval(fault: FaultRecord, started: float) -> BoxAnnotation:
    return BoxAnnotation(
        left=fault.injected_at - started,
        right=fault.healed_at - started,
        fill_color=PURPLE,
        fill_alpha=0.13,
        level="underlay",
    )


def _ends(operation: Operation) -> tuple[int, ...]:
    return (operation.invoked,) if operation.completed is None else (operation.invoked, operation.completed)


def _description(operation: Operation, *, is_unexplained: bool) -> str:
    what = describe(operation).removeprefix(f"process {operation.process} ")
    if len(what) > DESCRIPTION_CHARACTERS_MAX:
        what = f"{what[: DESCRIPTION_CHARACTERS_MAX - 1]}…"
    return f"✗ {what}" if is_unexplained else what
