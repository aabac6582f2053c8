"""`raftctl status`: the status of every node, and the leader on which they agree."""

import asyncio
from typing import TYPE_CHECKING

import typer

from raft_pkg.cli import EXIT_UNKNOWN
from raft_pkg.cli.options import Endpoints, Json, Timeout
from raft_pkg.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from raft_pkg.client import ClusterStatus, NodeStatus
    from raft_pkg.rpc.raft_pb2 import StatusResponse


COLUMNS: "tuple[tuple[str, Callable[[StatusResponse], object]], ...]" = (
    ("role", lambda response: response.role),
    ("term", lambda response: response.term),
    ("leader", lambda response: response.leader_id or None),
    ("commit", lambda response: response.commit_index),
    ("applied", lambda response: response.applied_index),
    ("last log", lambda response: response.last_log_index),
    ("up", lambda response: f"{response.uptime_seconds:.0f} s"),
    ("version", lambda response: response.version),
)
"""Heading and cell of each column that a node fills; the role comes first, since an unreachable node has none."""


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
    headings = ("node", "endpoint", *(heading for heading, _ in COLUMNS), "error")
    print_table(headings, [_row(node) for node in found.nodes])


def _row(node: "NodeStatus") -> tuple[object, ...]:
    if node.error is not None:
        return None, node.endpoint, "unreachable", *[None] * (len(COLUMNS) - 1), node.error
    return node.response.id, node.endpoint, *(cell(node.response) for _, cell in COLUMNS), None
