"""The commands of `raftctl`. Commands defer their imports, so that `raftctl --help` starts fast."""

from collections.abc import Sequence
from functools import cache
from typing import Annotated

import typer

from raft_pkg import __version__
from raft_pkg.cli import client, cluster, key_value, log, members, serve, status, transfer
from raft_pkg.cli.output import print_line

PLUGIN_GROUP = "raftctl.commands"
"""Entry points of this group add commands: each names a function that takes the `typer.Typer` of `raftctl`."""

app = typer.Typer(
    name="raftctl",
    help="Run and use clusters of a replicated key-value store.",
    epilog="Exit status: 0 yes, 1 definite no, 2 invalid usage or configuration, 3 unknown (deadline, no leader).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(requested: bool) -> None:
    if requested:
        print_line(f"raftctl {__version__}")
        raise typer.Exit


@app.callback()
def raftctl(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Declare the options that precede the command."""


app.command()(serve.serve)
key_value.register(app)
app.command()(status.status)
app.command()(client.client)
app.command()(transfer.transfer)
app.add_typer(cluster.app, name="cluster")
app.add_typer(members.app, name="members")
app.add_typer(log.app, name="log")


def run(arguments: Sequence[str]) -> None:
    """Run the command line. Look for plugins only if it does not begin with a command that needs none.

    Reading the metadata of installed packages would slow down every start of a node and of a client.
    """
    if not arguments or arguments[0] not in _commands_without_plugins():
        _load_plugins()
    app(args=arguments, prog_name="raftctl")


def _commands_without_plugins() -> set[str | None]:
    """Return the names of this package's commands, except `cluster`, which may need the command `proxy`."""
    commands = {command.name or getattr(command.callback, "__name__", None) for command in app.registered_commands}
    return (commands | {group.name for group in app.registered_groups}) - {"cluster"}


@cache
def _load_plugins() -> None:
    """Add the commands of other packages, once.

    Ignore a package that is not installed: the server image has the metadata of the distribution, which names
    `raft_testbed`, but not that package.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415 - see `run`

    for entry_point in entry_points(group=PLUGIN_GROUP):
        try:
            register = entry_point.load()
        except ModuleNotFoundError as error:
            if error.name != entry_point.module.partition(".")[0]:
                raise
        else:
            register(app)
