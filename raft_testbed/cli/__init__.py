"""The testbed's commands of `raftctl`, which an entry point of the group `raftctl.commands` adds."""

import typer

from raft_testbed.cli import bench, check, proxy, report, simulate, workload


def register(app: typer.Typer) -> None:
    """Add the testbed's commands to `raftctl`."""
    app.command()(check.check)
    app.command()(workload.workload)
    app.command()(report.report)
    app.command()(bench.bench)
    app.command()(simulate.simulate)
    app.add_typer(proxy.app, name="proxy")
