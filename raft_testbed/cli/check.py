"""`raftctl check HISTORY`: is a history linearizable?"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raft_pkg.cli import EXIT_NO, EXIT_UNKNOWN
from raft_pkg.cli.options import Json
from raft_pkg.cli.output import print_json, print_line
from raft_pkg.errors import ConfigurationError

if TYPE_CHECKING:
    from raft_testbed.checker.explained_finding import ExplainedFinding
    from raft_testbed.history import Operation

TimeLimit = Annotated[float, typer.Option(min=0.001, metavar="SECONDS", help="Give up judging after this time.")]
MemoryLimit = Annotated[float, typer.Option(min=1, metavar="MIB", help="Give up judging above this much memory.")]


def check(
    history: Annotated[
        Path, typer.Argument(metavar="HISTORY.jsonl", allow_dash=True, show_default=False, help="- is stdin.")
    ],
    *,
    time_limit: TimeLimit = 300.0,
    memory_limit_mb: MemoryLimit = 4096.0,
    as_json: Json = False,
) -> None:
    """Check a history for linearizability: exit status 0 linearizable, 1 violation, 3 unknown within the limits."""
    from raft_testbed.checker.explained_finding import judge_history  # noqa: PLC0415
    from raft_testbed.checker.verdict import Verdict  # noqa: PLC0415

    finding = judge_history(_read(history), seconds_max=time_limit, memory_mb_max=memory_limit_mb)
    if as_json:
        print_json(finding.to_json())
    else:
        _print_finding(finding)
    if finding.verdict is not Verdict.OK:
        raise typer.Exit(EXIT_NO if finding.verdict is Verdict.VIOLATION else EXIT_UNKNOWN)


def _read(path: Path) -> "list[Operation]":
    from raft_testbed.history import HistoryError, read_history  # noqa: PLC0415

    try:
        if str(path) == "-":
            return read_history(sys.stdin)
        with path.open(encoding="utf-8") as lines:
            return read_history(lines)
    except (HistoryError, OSError, UnicodeDecodeError) as error:
        name = "stdin" if str(path) == "-" else str(path)
        raise ConfigurationError(f"{name}: {error}") from error


def _print_finding(finding: "ExplainedFinding") -> None:
    content = finding.to_json()
    outcomes = ", ".join(f"{number:,} {outcome}" for outcome, number in finding.outcomes.items())
    print_line(f"{content['verdict']}: {content['operations']:,} operations ({outcomes}) on {content['keys']} keys")
    for violation in finding.violations:
        print_line("")
        print_line(violation.summary)
        is_minimal = violation.counterexample.is_minimal
        print_line(f"  {'Minimal counterexample' if is_minimal else 'Counterexample'}:")
        for line in violation.explanation:
            print_line(f"    {line}")
    more = content["violating_keys"][len(finding.violations) :]
    if more:
        print_line(f"and violations on {len(more)} more keys: {', '.join(map(repr, more))}")
    for key, limit in content["unknown_keys"].items():
        print_line(f"key {key!r}: unknown: the {limit} limit was reached")
    print_line(
        f"{content['seconds']:.1f} s, {content['memory_mb']:.0f} MiB, {content['search_states']:,} search states"
    )
