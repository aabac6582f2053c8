"""`raftctl report RUN_DIR`: judge a run and write its report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raft_pkg.cli import EXIT_NO, EXIT_UNKNOWN
from raft_pkg.cli.options import Json
from raft_pkg.cli.output import print_json, print_line
from raft_pkg.errors import ConfigurationError
from raft_testbed.cli.check import MemoryLimit, TimeLimit

if TYPE_CHECKING:
    from raft_testbed.verdict.judge import RunFinding


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", show_default=False, help="The run's directory.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write the report.")] = Path(
        "artifacts/report.html"
    ),
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write JUnit XML. [none]", show_default=False)
    ] = None,
    time_limit: TimeLimit = 300.0,
    memory_limit_mb: MemoryLimit = 4096.0,
    as_json: Json = False,
) -> None:
    """Judge a run and write its report (docs/reference/report.md); exit status 0 ok, 1 violation, 3 unknown."""
    from raft_testbed.checker.verdict import Verdict  # noqa: PLC0415
    from raft_testbed.verdict.directory import read_run  # noqa: PLC0415
    from raft_testbed.verdict.judge import judge_run  # noqa: PLC0415

    finding = judge_run(read_run(run), seconds_max=time_limit, memory_mb_max=memory_limit_mb)
    _write(finding, output, junit)
    if as_json:
        print_json(finding.to_json())
    else:
        _print_finding(finding, output)
    if finding.verdict is not Verdict.OK:
        raise typer.Exit(EXIT_NO if finding.verdict is Verdict.VIOLATION else EXIT_UNKNOWN)


def _write(finding: "RunFinding", output: Path, junit: Path | None) -> None:
    try:
        from raft_testbed.report import junit as junit_xml  # noqa: PLC0415
        from raft_testbed.report import report as html_report  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error}: a report needs pip install 'raft_pkg[report]'") from error
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(html_report.render(finding), encoding="utf-8")
        if junit is not None:
            junit.parent.mkdir(parents=True, exist_ok=True)
            junit.write_bytes(junit_xml.render([junit_xml.run_suite(finding)]))
    except OSError as error:
        raise ConfigurationError(str(error)) from error


def _print_finding(finding: "RunFinding", output: Path) -> None:
    print_line(f"{finding.verdict}: {finding.run.name}")
    for mutant, description in finding.run.mutants.items():
        print_line(f"  the nodes run a mutant ({mutant}): {description}")
    for item in finding.findings:
        verdict = "not judged" if item.verdict is None else str(item.verdict)
        print_line(f"  {verdict:10} {item.name}: {item.summary}")
    print_line(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
