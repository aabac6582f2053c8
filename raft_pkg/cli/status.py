"""`raftctl status`: what every node says of itself, and whether they agree on a leader."""

import asyncio
from typing import TYPE_CHECKING

import typer

from raft_pkg.cli import EXIT_UNKNOWN
from raft_pkg.cli.options import Endpoints, Json, Timeout
from raft_pkg.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from raft_pkg.client import ClusterStatus, NodeStatus


def status(endpoints: Endpoints, timeout: Timeout = 2.0, as_json: Json = False) -> None:
    """Show every node; exit status 3 unless a majority of the endpoints agree on one leader in the newest term."""
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
    answer = node.response
    if node.error is not None:
        return None, node.endpoint, "unreachable", *[None] * 7, node.error
    return (
        *(answer.id, node.endpoint, answer.role, answer.term, answer.leader_id or None, answer.commit_index),
        *(answer.applied_index, answer.last_log_index, f"{answer.uptime_seconds:.0f} s", answer.version, None),
    )
