"""`raftctl report RUN_DIR`: judge a run and draw it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raft_pkg.cli import EXIT_NO, EXIT_UNKNOWN
from raft_pkg.cli.options import Json
from raft_pkg.cli.output import print_json, print_line
from raft_pkg.errors import ConfigurationError
from raft_testbed.cli.check import MemoryLimit, TimeLimit

if TYPE_CHECKING:
    from raft_testbed.verdict.judge import RunVerdict


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", show_default=False, help="The run's directory.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the page goes.")] = Path(
        "artifacts/report.html"
    ),
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write JUnit XML there. [none]", show_default=False)
    ] = None,
    time_limit: TimeLimit = 300.0,
    memory_limit_mb: MemoryLimit = 4096.0,
    as_json: Json = False,
) -> None:
    """Judge a run and draw it (docs/reference/report.md); exit status 0 ok, 1 a violation, 3 not known."""
    from raft_testbed.checker.verdict import Verdict  # noqa: PLC0415
    from raft_testbed.verdict.directory import read_run  # noqa: PLC0415
    from raft_testbed.verdict.judge import judge_run  # noqa: PLC0415

    verdict = judge_run(read_run(run), seconds_max=time_limit, memory_mb_max=memory_limit_mb)
    _write(verdict, output, junit)
    if as_json:
        print_json(verdict.to_json())
    else:
        _print_verdict(verdict, output)
    if verdict.verdict is not Verdict.OK:
        raise typer.Exit(EXIT_NO if verdict.verdict is Verdict.VIOLATION else EXIT_UNKNOWN)


def _write(verdict: "RunVerdict", output: Path, junit: Path | None) -> None:
    try:
        from raft_testbed.report import junit as junit_xml  # noqa: PLC0415
        from raft_testbed.report import report as html_report  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error}: a report needs pip install 'raft_pkg[report]'") from error
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(html_report.render(verdict), encoding="utf-8")
        if junit is not None:
            junit.parent.mkdir(parents=True, exist_ok=True)
            junit.write_bytes(junit_xml.render(verdict))
    except OSError as error:
        raise ConfigurationError(str(error)) from error


def _print_verdict(verdict: "RunVerdict", output: Path) -> None:
    print_line(f"{verdict.verdict}: {verdict.run.name}")
    for mutant, breaks in verdict.run.mutants.items():
        print_line(f"  these nodes are broken on purpose ({mutant}): {breaks}")
    for finding in verdict.findings:
        word = "not judged" if finding.verdict is None else str(finding.verdict)
        print_line(f"  {word:10} {finding.name}: {finding.summary}")
    print_line(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
