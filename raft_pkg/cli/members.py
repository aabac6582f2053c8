"""`raftctl members`: list and change the members of a cluster."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from raft_pkg.cli.options import Endpoints, Json
from raft_pkg.cli.output import note, print_json, print_line, print_table

if TYPE_CHECKING:
    from raft_pkg.client.members import Members
    from raft_pkg.rpc import raft_pb2 as pb

app = typer.Typer(no_args_is_help=True, help="List and change the members of the cluster, one change at a time.")

POLL_SECONDS = 0.2
NOTE_SECONDS = 1.0
"""Interval of progress messages."""

Node = Annotated[str, typer.Argument(metavar="NODE", help="Id of the node.")]
Wait = Annotated[float, typer.Option("--timeout", min=0.001, metavar="SECONDS", help="Deadline of the whole command.")]


@app.command("list")
def list_(endpoints: Endpoints, timeout: Wait = 5.0, as_json: Json = False) -> None:
    """Show the members as the leader knows them."""
    from raft_pkg.addresses import parse_endpoints  # noqa: PLC0415
    from raft_pkg.client.members import list_members  # noqa: PLC0415

    members = asyncio.run(list_members(parse_endpoints(endpoints), timeout))
    _print(members, as_json=as_json)


@app.command()
def add(
    node: Node,
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Address of the node, which must be running.")],
    *,
    endpoints: Endpoints,
    promote: Annotated[bool, typer.Option("--promote", help="Make it a voter once it has caught up.")] = False,
    timeout: Wait = 60.0,
    as_json: Json = False,
) -> None:
    """Add a running node as a learner and wait until it has caught up (with --promote: until it is a voter)."""
    from raft_pkg.client import members  # noqa: PLC0415

    def is_done(member: "pb.MemberStatus", missing: int) -> bool:
        return member.role == "voter" if promote else not missing

    def request(addresses: tuple[str, ...], timeout: float) -> Awaitable[int]:
        return members.add_learner(addresses, node, address, timeout, promote=promote)

    _print(asyncio.run(_change(endpoints, request, node, is_done, timeout)), as_json=as_json)


@app.command()
def promote(node: Node, endpoints: Endpoints, timeout: Wait = 30.0, as_json: Json = False) -> None:
    """Make a learner that has caught up a voter. Exit status 1 if it is refused, with the reason."""
    from raft_pkg.client import members  # noqa: PLC0415

    def request(addresses: tuple[str, ...], timeout: float) -> Awaitable[int]:
        return members.promote(addresses, node, timeout)

    _print(asyncio.run(_change(endpoints, request, node, None, timeout)), as_json=as_json)


@app.command()
def remove(node: Node, endpoints: Endpoints, timeout: Wait = 30.0, as_json: Json = False) -> None:
    """Remove a member, which may be the leader. Exit status 1 if it is refused, with the reason."""
    from raft_pkg.client import members  # noqa: PLC0415

    def request(addresses: tuple[str, ...], timeout: float) -> Awaitable[int]:
        return members.remove(addresses, node, timeout)

    _print(asyncio.run(_change(endpoints, request, node, None, timeout)), as_json=as_json)


async def _change(
    endpoints: str,
    request: Callable[[tuple[str, ...], float], Awaitable[int]],
    node: str,
    is_done: "Callable[[pb.MemberStatus, int], bool] | None",
    timeout: float,
) -> "Members":
    """Request a change and wait until it is done, with progress messages; return the members after it."""
    from raft_pkg.addresses import parse_endpoints  # noqa: PLC0415
    from raft_pkg.client.members import list_members  # noqa: PLC0415
    from raft_pkg.errors import OperationFailedError, OutcomeUnknownError  # noqa: PLC0415

    addresses = parse_endpoints(endpoints)
    deadline = time.monotonic() + timeout
    await request(addresses, timeout)
    noted_at = time.monotonic()
    while True:
        try:
            members = await list_members(addresses, max(0.001, deadline - time.monotonic()))
        except OperationFailedError:  # no leader at the moment
            if time.monotonic() >= deadline:
                raise
        else:
            member = members.get(node)
            if is_done is None or (member is not None and is_done(member, members.missing(member))):
                return members
            if time.monotonic() >= deadline:
                raise OutcomeUnknownError(f"{node} within {timeout:g} s: {_progress(members, member)}")
            if time.monotonic() - noted_at >= NOTE_SECONDS:
                noted_at = time.monotonic()
                note(f"{node}: {_progress(members, member)}")
        await asyncio.sleep(POLL_SECONDS)


def _progress(members: "Members", member: "pb.MemberStatus | None") -> str:
    if member is None:
        return "not a member"
    if member.snapshot_bytes:
        return f"{member.role}, {member.snapshot_bytes_sent:,} of {member.snapshot_bytes:,} bytes of the snapshot sent"
    return f"{member.role}, {members.missing(member):,} of {members.response.last_log_index:,} entries are missing"


def _print(members: "Members", *, as_json: bool) -> None:
    if as_json:
        print_json(members.to_json())
        return
    response = members.response
    headings = ("node", "address", "role", "match index", "missing", "snapshot", "last contact")
    print_table(headings, [_row(members, member) for member in response.members])
    state = "joint configuration" if response.joint else "configuration"
    print_line(f"leader: {response.leader_id or 'none'}; {state} of index {response.configuration_index}")


def _row(members: "Members", member: "pb.MemberStatus") -> tuple[object, ...]:
    snapshot = f"{member.snapshot_bytes_sent:,} of {member.snapshot_bytes:,} bytes" if member.snapshot_bytes else None
    role = f"{member.role}, promoting" if member.promoting else member.role
    contact = None if member.id == members.response.leader_id else f"{member.last_contact_seconds:.2f} s ago"
    return member.id, member.address, role, member.match_index, members.missing(member), snapshot, contact
