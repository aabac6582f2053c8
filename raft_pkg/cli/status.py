"""`raftctl status`: the status of every node, and the leader on which they agree."""

import asyncio
from typing import TYPE_CHECKING

import typer

from raft_pkg.cli import EXIT_UNKNOWN
from raft_pkg.cli.options import Endpoints, Json, Timeout
from raft_pkg.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from raft_pkg.client import ClusterStatus, NodeStatus


def status(endpoints: Endpoints, timeout: Timeout = 2.0, as_json: Json = False) -> None:
    """Show every node. Exit status 3 unless a majority of the endpoints agree on a leader in the newest term."""
    from raft_pkg.addresses import parse_endpoints  # noqa: PLC0415
    from raft_pkg.client.status import cluster_status  # noqa: PLC0415

    found = asyncio.run(cluster_status(parse_endpoints(endpoints), timeout))
    if as_json:
        print_json(found.to_json())
    else:
        _print_status(found)
    if found.leader_id is None:
        note("no leader that a majority of the endpoints agree on")
        raise typer.Exit(EXIT_UNKNOWN)


def _print_status(found: "ClusterStatus") -> None:
    headings = ("node", "endpoint", "role", "term", "leader", "commit", "applied", "last log", "up", "version", "error")
    print_table(headings, [_row(node) for node in found.nodes])


def _row(node: "NodeStatus") -> tuple[object, ...]:
    response = node.response
    if node.error is not None:
        return None, node.endpoint, "unreachable", *[None] * 7, node.error
    return (
        *(response.id, node.endpoint, response.role, response.term, response.leader_id or None, response.commit_index),
        *(response.applied_index, response.last_log_index, f"{response.uptime_seconds:.0f} s", response.version, None),
    )
