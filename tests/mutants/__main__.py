"""Runs the simulator against every planted bug and prints which invariant catches it: `python -m tests.mutants`.

Exit status 1 when a bug that is not in `EXPLAINED` survives its budget of seeds, or one no longer fits the code. A
mutant is a file beside this one; its docstring says what it breaks.
"""

import argparse
import ast
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

DIRECTORY = Path(__file__).parent
SECONDS_MAX = 600
EXPLAINED = {
    "torn_write_left_in_place": (
        "the next batch is written over the torn bytes, so it takes a shorter batch and an end of the process between "
        "two of its sectors to show; tests/unit/storage/test_torn_writes.py catches it"
    ),
}
"""Bugs that the simulator is known not to find in its budget, and why; a hole, told each time."""


@dataclass
class Outcome:
    """What became of one mutant."""

    name: str
    breaks: str
    caught_by: str | None
    seed: int | None
    seconds: float
    what: str

    def as_json(self) -> dict[str, object]:
        return {
            "mutant": self.name,
            "breaks": self.breaks,
            "caught_by": self.caught_by,
            "seed": self.seed,
            "seconds": self.seconds,
            "what": self.what,
        }


def mutants(names: list[str]) -> list[Path]:
    """The mutants' files: all, or those named."""
    found = sorted(path for path in DIRECTORY.glob("[a-z]*.py"))
    if not names:
        return found
    missing = sorted(set(names) - {path.stem for path in found})
    if missing:
        sys.exit(f"no such mutant: {', '.join(missing)}")
    return [path for path in found if path.stem in names]


def hunt(path: Path, seeds: str, nodes: int, jobs: int | None) -> Outcome:
    """Simulate with one bug planted, in processes of its own."""
    breaks = ast.get_docstring(ast.parse(path.read_text())) or ""
    command = [sys.executable, "-m", "raft_pkg.cli", "simulate", "--seeds", seeds, "--nodes", str(nodes)]
    command += ["--mutant", str(path), "--json", *([] if jobs is None else ["--jobs", str(jobs)])]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired:
        return Outcome(path.stem, breaks, None, None, SECONDS_MAX, f"no verdict within {SECONDS_MAX} s")
    if run.returncode not in (0, 1) or not run.stdout.strip():  # the mutant does not fit, or the machine gave up
        return Outcome(
            path.stem,
            breaks,
            None,
            None,
            0.0,
            (run.stderr.strip().splitlines() or [f"ended with {run.returncode}"])[-1],
        )
    report = json.loads(run.stdout.splitlines()[-1])
    if not report["failures"]:
        what = f"survived {report['seeds_done']} seeds"
        return Outcome(path.stem, breaks, None, None, report["seconds"], what)
    failure = min(report["failures"], key=lambda failure: failure["seed"])
    return Outcome(path.stem, breaks, failure["invariant"], failure["seed"], report["seconds"], failure["what"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="mutants by name; all by default")
    parser.add_argument("--seeds", default="0:3000", help="budget of seeds for each (default: %(default)s)")
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--jobs", type=int, help="processes; as many as there are cores by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes there too")
    arguments = parser.parse_args()
    table = Table("mutant", "caught by", "at seed", "after", "what was seen", box=None, pad_edge=False)
    console = Console(width=None if sys.stdout.isatty() else 200)
    outcomes = []
    for path in mutants(arguments.names):
        outcome = hunt(path, arguments.seeds, arguments.nodes, arguments.jobs)
        outcomes.append(outcome)
        seed = "-" if outcome.seed is None else str(outcome.seed)
        table.add_row(outcome.name, outcome.caught_by or "NOTHING", seed, f"{outcome.seconds:.1f} s", outcome.what)
        console.print(f"{len(outcomes)}: {outcome.name}: {outcome.caught_by or outcome.what}", style="dim")
    console.print(table)
    survivors = [outcome.name for outcome in outcomes if outcome.caught_by is None]
    console.print(f"{len(outcomes)} mutants, {len(outcomes) - len(survivors)} caught, survivors: {survivors or 'none'}")
    for name in EXPLAINED.keys() & survivors:
        console.print(f"{name}: {EXPLAINED[name]}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([outcome.as_json() for outcome in outcomes], indent=2) + "\n")
    return 1 if set(survivors) - EXPLAINED.keys() else 0


if __name__ == "__main__":
    sys.exit(main())
