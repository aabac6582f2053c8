"""`raftctl cluster …`: a local cluster, whose nodes are processes on this machine."""

from typing import TYPE_CHECKING, Annotated

import typer

from raft_pkg.cli import EXIT_UNKNOWN
from raft_pkg.cli.options import DEFAULT_DIRECTORY, Directory, Json
from raft_pkg.cli.output import note, print_json, print_line, print_table
from raft_pkg.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from raft_pkg.local import LocalCluster, LocalClusterStatus

app = typer.Typer(
    help="Run a local cluster: processes on this machine's loopback interface.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Nodes = Annotated[list[str] | None, typer.Argument(metavar="NODE…", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="Every node.")]
WaitLimit = Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Longest time to wait.")]


@app.command()
def up(
    context: typer.Context,
    *,
    nodes: Annotated[
        int | None, typer.Option(help="Number of nodes: 1, 3, 5 or 7. [3, or as in the directory]", show_default=False)
    ] = None,
    directory: Directory = DEFAULT_DIRECTORY,
    base_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="First port. [free ports]", show_default=False)
    ] = None,
    election_timeout_ms_min: Annotated[
        int | None, typer.Option(min=1, help="Minimum election timeout, ms. [150]", show_default=False)
    ] = None,
    election_timeout_ms_max: Annotated[
        int | None, typer.Option(min=1, help="Maximum election timeout, ms. [300]", show_default=False)
    ] = None,
    heartbeat_interval_ms: Annotated[
        int | None, typer.Option(min=1, help="Interval of heartbeats, ms. [50]", show_default=False)
    ] = None,
    proxy: Annotated[
        bool | None,
        typer.Option("--proxy/--no-proxy", help="Connect nodes through a `raftctl proxy`. [no]", show_default=False),
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="Command that starts a node (docs/reference/contract.md). [raftctl serve]",
            show_default=False,
        ),
    ] = None,
    timeout: WaitLimit = 30.0,
    as_json: Json = False,
) -> None:
    """Start every node and wait for a leader. Data of earlier runs is kept and used."""
    from raft_pkg.local import LocalCluster, LocalClusterOptions  # noqa: PLC0415

    if proxy and not _has_command(context, "proxy"):
        raise ConfigurationError("--proxy: this installation of raftctl has no command 'proxy'")
    cluster = LocalCluster(directory, timeout=timeout, progress=_ignore if as_json else print_line)
    changed = cluster.up(
        LocalClusterOptions(
            nodes, base_port, election_timeout_ms_min, election_timeout_ms_max, heartbeat_interval_ms, proxy, command
        )
    )
    found = cluster.status()
    if as_json:
        print_json({"changed": changed, **found.to_json()})
        return
    _print_status(found)
    option = "" if directory == DEFAULT_DIRECTORY else f" --dir {directory}"
    print_line("")
    print_line("Use it:")
    print_line(f"  export RAFT_ENDPOINTS={','.join(found.description.endpoints)}")
    print_line("  raftctl put greeting hello && raftctl get greeting && raftctl status")
    print_line(f"  raftctl cluster kill {found.cluster.leader_id or 'raft-0'}{option}      (`start` restarts it)")
    print_line(f"  raftctl cluster down{option}      (--purge removes its data)")


@app.command()
def down(
    directory: Directory = DEFAULT_DIRECTORY,
    purge: Annotated[bool, typer.Option("--purge", help="Remove data and logs.")] = False,
    timeout: WaitLimit = 30.0,
    as_json: Json = False,
) -> None:
    """Stop every node. Keep the data unless --purge is given."""
    from raft_pkg.local import LocalCluster  # noqa: PLC0415

    known = (directory / "cluster.json").exists()
    stopped = LocalCluster(directory, timeout=timeout).down(purge=purge)
    _print_done("stopped", stopped, as_json, changed=bool(stopped) or (purge and known))
    if purge and known and not as_json:
        print_line(f"data and logs in {directory} removed")


@app.command()
def status(directory: Directory = DEFAULT_DIRECTORY, as_json: Json = False) -> None:
    """Show nodes, processes and leader. Exit status 3 if there is no leader."""
    from raft_pkg.local import LocalCluster  # noqa: PLC0415

    found = LocalCluster(directory).status()
    if as_json:
        print_json(found.to_json())
    else:
        _print_status(found)
    if found.cluster.leader_id is None:
        note("no leader that a majority of the nodes agree on")
        raise typer.Exit(EXIT_UNKNOWN)


@app.command()
def kill(
    nodes: Nodes = None, every: All = False, directory: Directory = DEFAULT_DIRECTORY, as_json: Json = False
) -> None:
    """Kill nodes with SIGKILL."""
    cluster, chosen = _chosen(directory, nodes, every)
    _print_done("killed", cluster.kill(chosen), as_json)


@app.command()
def start(
    nodes: Nodes = None,
    every: All = False,
    directory: Directory = DEFAULT_DIRECTORY,
    timeout: WaitLimit = 30.0,
    as_json: Json = False,
) -> None:
    """Start stopped nodes and wait until they serve."""
    cluster, chosen = _chosen(directory, nodes, every, timeout)
    _print_done("started", cluster.start(chosen), as_json)


@app.command()
def add(
    nodes: Annotated[list[str], typer.Argument(metavar="NODE…")],
    directory: Directory = DEFAULT_DIRECTORY,
    timeout: WaitLimit = 30.0,
    as_json: Json = False,
) -> None:
    """Start further nodes. They are non-members until `raftctl members add`."""
    from raft_pkg.local import LocalCluster  # noqa: PLC0415

    _print_done("added", LocalCluster(directory, timeout=timeout).add(nodes), as_json)


@app.command()
def discard(
    nodes: Annotated[list[str], typer.Argument(metavar="NODE…")],
    directory: Directory = DEFAULT_DIRECTORY,
    as_json: Json = False,
) -> None:
    """Stop added nodes and remove their data (after `raftctl members remove`)."""
    from raft_pkg.local import LocalCluster  # noqa: PLC0415

    _print_done("discarded", LocalCluster(directory).discard(nodes), as_json)


@app.command()
def pause(
    nodes: Nodes = None, every: All = False, directory: Directory = DEFAULT_DIRECTORY, as_json: Json = False
) -> None:
    """Pause nodes with SIGSTOP."""
    cluster, chosen = _chosen(directory, nodes, every)
    _print_done("paused", cluster.pause(chosen), as_json)


@app.command()
def resume(
    nodes: Nodes = None, every: All = False, directory: Directory = DEFAULT_DIRECTORY, as_json: Json = False
) -> None:
    """Resume paused nodes with SIGCONT."""
    cluster, chosen = _chosen(directory, nodes, every)
    _print_done("resumed", cluster.resume(chosen), as_json)


def _chosen(
    directory: "Path", nodes: list[str] | None, every: bool, timeout: float = 30.0
) -> tuple["LocalCluster", list[str]]:
    from raft_pkg.local import LocalCluster  # noqa: PLC0415

    if bool(nodes) == every:
        raise ConfigurationError("name one node or several, or give --all")
    cluster = LocalCluster(directory, timeout=timeout)
    return cluster, nodes or [node.id for node in cluster.load().nodes]


def _has_command(context: typer.Context, name: str) -> bool:
    root = context.find_root()
    return name in root.command.list_commands(root)  # type: ignore[attr-defined] # the root is a group


def _print_done(verb: str, node_ids: list[str], as_json: bool, *, changed: bool | None = None) -> None:
    if as_json:
        print_json({"changed": bool(node_ids) if changed is None else changed, "nodes": node_ids})
    else:
        print_line(f"{verb} {', '.join(node_ids)}" if node_ids else f"nothing {verb}: no process in that state")


def _print_status(found: "LocalClusterStatus") -> None:
    content = found.to_json()
    columns = ("id", "endpoint", "http", "pid", "state", "role", "term", "log")
    print_table(columns, ([node[column] for column in columns] for node in content["nodes"]))
    leader = content["leader"]
    print_line(f"leader: {leader} in term {content['term']}" if leader else "leader: none")


def _ignore(line: str) -> None:
    """Print no progress: the JSON object is the only output."""
