"""`raftctl simulate`: run a simulated cluster with many seeds. See docs/explanation/simulation.md."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raft_pkg.cli import EXIT_NO
from raft_pkg.cli.options import Json
from raft_pkg.cli.output import note, print_json, print_line
from raft_pkg.errors import ConfigurationError

if TYPE_CHECKING:
    from raft_testbed.simulation.cluster import Result
    from raft_testbed.simulation.parameters import Options
    from raft_testbed.simulation.runner import Job, Totals

NODES_MAX = 9
_RARE_EVENTS = {
    "configuration_committed": "membership changes",
    "disk_lost": "disks lost",
    "snapshot_taken": "snapshots taken",
    "snapshot_installed": "snapshots installed",
    "sent_again": "commands sent again",
    "session_expired": "sessions expired",
}
"""The rare events that the summary counts."""


def simulate(
    *,
    seeds: Annotated[str, typer.Option(metavar="A:B", help="Run the seeds A to B-1.")],
    nodes: Annotated[int, typer.Option(min=1, max=NODES_MAX, help="Number of nodes.")] = 5,
    mutant: Annotated[
        Path | None, typer.Option(metavar="FILE.py", help="Load this mutant first; an invariant must catch it.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Number of processes (default: cores).")] = None,
    faults: Annotated[
        str | None,
        typer.Option(metavar="N,N,…", help="Inject only these of the scheduled faults ('none': no fault)."),
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all events as JSON lines; for one seed.")
    ] = None,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Continue after a violation.")] = False,
    shrink: Annotated[bool, typer.Option("--shrink", help="Look for the same violation with fewer faults.")] = False,
    as_json: Json = False,
) -> None:
    """Simulate a cluster with each seed. Exit status 1 if an invariant is violated, and how to replay it."""
    from raft_testbed.simulation.parameters import Options  # noqa: PLC0415
    from raft_testbed.simulation.runner import Job  # noqa: PLC0415

    first, stop = _range(seeds)
    options = Options(nodes, _numbers(faults))
    processes = {} if jobs is None else {"processes": jobs}
    job = Job(first, stop, options, mutant, keep_going, **processes)
    began = time.perf_counter()
    totals = _trace_one(job, trace) if trace is not None else _run_all(job)
    seconds = time.perf_counter() - began
    failures = [_describe(result, options, job) for result in totals.failures]
    if shrink and failures:
        failures[0]["shrunk"] = _shrink(totals.failures[0], job)
    if as_json:
        print_json(_as_json(job, totals, seconds, failures))
    else:
        for failure in failures:
            _print_failure(failure)
        _print_summary(job, totals, seconds)
    if failures:
        raise typer.Exit(EXIT_NO)


def _range(seeds: str) -> tuple[int, int]:
    first, colon, stop = seeds.partition(":")
    if not colon or not first.isdecimal() or not stop.isdecimal() or int(first) >= int(stop):
        raise ConfigurationError(f"--seeds: {seeds!r} is not A:B with A below B, such as 0:1000")
    return int(first), int(stop)


def _numbers(faults: str | None) -> tuple[int, ...] | None:
    if faults is None or faults == "none":
        return None if faults is None else ()
    try:
        return tuple(int(number) for number in faults.split(","))
    except ValueError:
        raise ConfigurationError(f"--faults: {faults!r} is neither a list of numbers such as 3,7 nor 'none'") from None


def _trace_one(job: "Job", path: Path) -> "Totals":
    from raft_testbed.mutation import load_mutant  # noqa: PLC0415
    from raft_testbed.simulation.cluster import run  # noqa: PLC0415
    from raft_testbed.simulation.runner import Totals  # noqa: PLC0415

    if len(job.seeds) != 1:
        raise ConfigurationError(f"--trace: needs a single seed, and --seeds names {len(job.seeds)}")
    if job.mutant is not None:
        load_mutant(job.mutant)
    totals = Totals()
    try:
        with path.open("w", encoding="utf-8") as stream:
            totals.add(run(job.first, job.options, stream))
    except OSError as error:
        raise ConfigurationError(f"--trace: {error}") from error
    return totals


def _run_all(job: "Job") -> "Totals":
    from contextlib import closing  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from raft_testbed.simulation.runner import Totals, simulate  # noqa: PLC0415

    totals = Totals()
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    console = Console(stderr=True)
    began = time.perf_counter()
    with Progress("seeds", *columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("seeds", total=len(job.seeds), rate="")
        with closing(simulate(job)) as results:
            for result in results:
                totals.add(result)
                rate = totals.seeds / (time.perf_counter() - began) * 60
                progress.update(task, advance=1, rate=f"{rate:,.0f} per minute")
                if totals.failures and not job.keep_going:
                    break
    return totals


def _shrink(failing: "Result", job: "Job") -> dict[str, Any]:
    from raft_testbed.simulation.runner import Job, simulate  # noqa: PLC0415
    from raft_testbed.simulation.shrink import shrink  # noqa: PLC0415

    def run_one(seed: int, options: "Options") -> "Result":
        return next(simulate(Job(seed, seed + 1, options, job.mutant, processes=1)))

    note(f"seed {failing.seed}: looking for the same violation with fewer faults")
    smaller, options = shrink(failing, job.options, run_one)
    return _describe(smaller, options, job)


def _describe(result: "Result", options: "Options", job: "Job") -> dict[str, Any]:
    from raft_testbed.simulation.runner import replay_command  # noqa: PLC0415

    failure = result.failure
    assert failure is not None
    return {
        "seed": result.seed,
        "invariant": failure.invariant,
        "what": failure.what,
        "step": failure.step,
        "at_seconds": round(failure.at_seconds, 6),
        "trace_hash": result.trace_hash,
        "faults": failure.faults,
        "last_events": failure.last_events,
        "replay": replay_command(result.seed, options, job.mutant),
    }


def _print_failure(failure: dict[str, Any]) -> None:
    print_line(
        f"seed {failure['seed']}, step {failure['step']} ({failure['at_seconds']:.3f} s): {failure['invariant']}"
    )
    print_line(f"  {failure['what']}")
    print_line("  faults so far:")
    for fault in failure["faults"] or ["none"]:
        print_line(f"    {fault}")
    print_line("  last events of the nodes involved (step, time, node, event):")
    for event in failure["last_events"]:
        print_line(f"    {event}")
    print_line(f"  replay: {failure['replay']}")
    if "shrunk" in failure:
        shrunk = failure["shrunk"]
        print_line(f"  with fewer faults ({len(shrunk['faults'])}): {shrunk['what']}")
        print_line(f"  replay: {shrunk['replay']}")


def _print_summary(job: "Job", totals: "Totals", seconds: float) -> None:
    verdict = f"violations: {len(totals.failures)}" if totals.failures else "no violation"
    print_line(f"{totals.seeds} of {len(job.seeds)} seeds, {job.options.nodes} nodes: {verdict}")
    rates = (
        f"{totals.seeds / seconds * 60:,.0f} seeds per minute",
        f"{totals.simulated_seconds / seconds:,.0f} simulated seconds per second",
        f"{totals.steps / seconds:,.0f} steps per second",
    )
    print_line(f"{seconds:.1f} s: {', '.join(rates)}")
    sums = (
        f"{totals.simulated_seconds:,.0f} simulated seconds",
        f"{totals.steps:,} steps",
        f"{totals.faults:,} faults",
        f"{totals.leaders:,} elections won",
        f"{totals.committed:,} entries committed",
        f"{totals.operations:,} operations completed",
    )
    print_line(", ".join(sums))
    print_line(", ".join(f"{totals.counts[event]:,} {name}" for event, name in _RARE_EVENTS.items()))
    if totals.undecided:
        print_line(f"{totals.undecided} histories are undecided (the linearizability checker reached its limit)")
    print_line(f"trace hash {totals.trace_hash()}")


def _as_json(job: "Job", totals: "Totals", seconds: float, failures: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "verdict": "violation" if failures else "ok",
        "seeds": [job.first, job.stop],
        "nodes": job.options.nodes,
        "seeds_done": totals.seeds,
        "undecided": totals.undecided,
        "trace_hash": totals.trace_hash(),
        "steps": totals.steps,
        "simulated_seconds": round(totals.simulated_seconds, 3),
        "faults": totals.faults,
        "elections_won": totals.leaders,
        "entries_committed": totals.committed,
        "operations_done": totals.operations,
        "events": dict(sorted(totals.counts.items())),
        "seconds": round(seconds, 3),
        "seeds_per_minute": round(totals.seeds / seconds * 60, 1),
        "steps_per_second": round(totals.steps / seconds, 1),
        "simulated_seconds_per_second": round(totals.simulated_seconds / seconds, 1),
        "failures": failures,
    }
