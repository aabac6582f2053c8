"""The command tree. Commands import what they need when they run, so that `raftctl --help` costs little."""

from importlib.metadata import entry_points
from typing import Annotated

import typer

from raft_pkg import __version__
from raft_pkg.cli import client, cluster, key_value, log, members, serve, status, transfer
from raft_pkg.cli.output import print_line

PLUGIN_GROUP = "raftctl.commands"
"""Entry points of this group add commands: each names a function that takes the `typer.Typer` of `raftctl`."""

app = typer.Typer(
    name="raftctl",
    help="A replicated key-value store: serve it, use it, look at it, try it out on this machine.",
    epilog="Exit status: 0 yes, 1 a definite no, 2 wrong usage or configuration, 3 not known (unavailable, too late).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print_line(f"raftctl {__version__}")
        raise typer.Exit


@app.callback()
def raftctl(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keep the options that stand before the command."""


app.command()(serve.serve)
key_value.register(app)
app.command()(status.status)
app.command()(client.client)
app.command()(transfer.transfer)
app.add_typer(cluster.app, name="cluster")
app.add_typer(members.app, name="members")
app.add_typer(log.app, name="log")


def _load_plugins() -> None:
    """Add the commands of other installed packages.

    The server image holds `raft_pkg` without `raft_testbed`, which the distribution's metadata still names.
    """
    for entry_point in entry_points(group=PLUGIN_GROUP):
        try:
            register = entry_point.load()
        except ModuleNotFoundError as error:
            if error.name != entry_point.module.partition(".")[0]:
                raise
        else:
            register(app)


_load_plugins()
