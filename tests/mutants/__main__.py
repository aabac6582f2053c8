"""Run the simulator against every mutant and print which invariant catches it: `python -m tests.mutants`.

Exit status 1 if a mutant survives its budget of seeds and CPU time, or does not fit the code. A mutant is a file beside
this one; its docstring says what it breaks. One process runs the seeds of a mutant in order, so that it is caught at
the same seed on every machine. As many mutants run concurrently as there are cores.
"""

import argparse
import ast
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

DIRECTORY = Path(__file__).parent
RECORD = DIRECTORY / "caught.json"
"""The recorded outcomes, which `docs/reference/mutants.md` shows and from which `--quick` selects."""
ALL_SECONDS_MAX = 25 * 60
"""Budget for all mutants together, in seconds of wall time; a mutant that is not caught by then has survived."""
MUTANT_SECONDS_MAX = 600
"""Budget for one mutant, in seconds of CPU time, which does not depend on the load of the machine."""
QUICK_SECONDS_MAX = 5.0
"""`--quick` runs the mutants that were caught within this CPU time."""
QUICK_SEEDS_FACTOR = 5
QUICK_SEEDS_MIN = 300
"""`--quick` gives a mutant a multiple of the seeds that it took, and at least the minimum: any change of the code can
change what happens in a seed."""
PAGE_HEAD = """# Mutants

Written by `python -m tests.mutants --markdown docs/reference/mutants.md`.
Mutants are described with [the simulator](../explanation/simulation.md).
One process runs the seeds of a mutant from 0 on, until it is caught or its budget is used up; "after" is that CPU time.

{summary}.

| mutant | what it breaks | caught by | at seed | after |
|---|---|---|---:|---:|"""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one mutant."""

    mutant: str
    breaks: str
    caught_by: str | None
    seed: int | None
    seconds: float
    """CPU time."""
    what: str


@dataclass(frozen=True)
class Hunt:
    """One mutant, and its budget of seeds."""

    path: Path
    seeds: str

    @property
    def breaks(self) -> str:
        """The mutant's docstring."""
        return ast.get_docstring(ast.parse(self.path.read_text())) or ""

    def survived(self, what: str) -> Outcome:
        return Outcome(self.path.stem, self.breaks, None, None, 0.0, what)


def mutants(names: list[str]) -> list[Path]:
    """Return the files of the named mutants, or of all."""
    found = sorted(path for path in DIRECTORY.glob("[a-z]*.py"))
    if not names:
        return found
    missing = sorted(set(names) - {path.stem for path in found})
    if missing:
        sys.exit(f"no such mutant: {', '.join(missing)}")
    return [path for path in found if path.stem in names]


def quick_hunts(paths: Iterable[Path]) -> Iterator[Hunt]:
    """Yield the mutants that were caught soon, each with a generous range of seeds."""
    recorded = {outcome["mutant"]: outcome for outcome in json.loads(RECORD.read_text())}
    for path in paths:
        outcome = recorded.get(path.stem)
        if outcome and outcome["caught_by"] and outcome["seconds"] <= QUICK_SECONDS_MAX:
            seeds = max(QUICK_SEEDS_MIN, QUICK_SEEDS_FACTOR * (outcome["seed"] + 1))
            yield Hunt(path, f"0:{seeds}")


def simulate(nodes: int, seconds_max: float, deadline: float, hunt: Hunt) -> Outcome:
    """Simulate with one mutant, in a separate process."""
    left = deadline - time.monotonic()
    if left <= 0:
        return hunt.survived(f"not run: the {ALL_SECONDS_MAX} s for all mutants are over")
    command = [sys.executable, "-m", "tests.mutants._hunt"]
    command += [str(hunt.path), hunt.seeds, str(nodes), str(seconds_max)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=left, check=False)
    except subprocess.TimeoutExpired:
        return hunt.survived(f"no verdict within the {ALL_SECONDS_MAX} s for all mutants")
    if run.returncode != 0:  # the mutant does not fit the code, or the process was killed
        return hunt.survived((run.stderr.strip().splitlines() or [f"ended with {run.returncode}"])[-1])
    return Outcome(hunt.path.stem, hunt.breaks, **json.loads(run.stdout))


def table_of(outcomes: Iterable[Outcome]) -> Table:
    """Return the outcomes as a table for the terminal."""
    table = Table("mutant", "caught by", "at seed", "after", "evidence", box=None, pad_edge=False)
    for outcome in outcomes:
        seed = "-" if outcome.seed is None else str(outcome.seed)
        table.add_row(outcome.mutant, outcome.caught_by or "NOTHING", seed, f"{outcome.seconds:.1f} s", outcome.what)
    return table


def markdown_of(outcomes: list[Outcome], summary: str) -> str:
    """Return the outcomes as a page of the documentation."""
    rows = []
    for outcome in outcomes:
        breaks = " ".join(outcome.breaks.split())
        caught_by, seed = outcome.caught_by or "**nothing**", "" if outcome.seed is None else outcome.seed
        rows.append(f"| `{outcome.mutant}` | {breaks} | {caught_by} | {seed} | {outcome.seconds:.1f} s |")
    return "\n".join([PAGE_HEAD.format(summary=summary), *rows, ""])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="names of mutants (default: all)")
    parser.add_argument("--seeds", default="0:3000", help="seeds for each mutant (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=MUTANT_SECONDS_MAX, help="CPU time for each mutant (default: %(default)s)"
    )
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="concurrent mutants (default: cores)")
    parser.add_argument("--quick", action="store_true", help="run only mutants that are caught within seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the outcomes to FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help=f"write them as a page, and to {RECORD.name}")
    arguments = parser.parse_args()
    paths = mutants(arguments.names)
    hunts = list(quick_hunts(paths)) if arguments.quick else [Hunt(path, arguments.seeds) for path in paths]
    console = Console(width=None if sys.stdout.isatty() else 200)
    began = time.monotonic()
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for outcome in pool.map(partial(simulate, arguments.nodes, arguments.seconds, began + ALL_SECONDS_MAX), hunts):
            outcomes.append(outcome)
            console.print(f"{len(outcomes)}: {outcome.mutant}: {outcome.caught_by or outcome.what}", style="dim")
    survivors = [outcome.mutant for outcome in outcomes if outcome.caught_by is None]
    caught = len(outcomes) - len(survivors)
    summary = (
        f"{len(outcomes)} mutants, {caught} caught, {time.monotonic() - began:.0f} s on {arguments.jobs} cores; "
        f"survivors: {', '.join(survivors) or 'none'}"
    )
    console.print(table_of(outcomes))
    console.print(summary)
    as_json = json.dumps([asdict(outcome) for outcome in outcomes], indent=2, ensure_ascii=False) + "\n"
    if arguments.json is not None:
        arguments.json.write_text(as_json)
    if arguments.markdown is not None:
        arguments.markdown.write_text(markdown_of(outcomes, summary))
        RECORD.write_text(as_json)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
