"""`raftctl members`: who belongs to the cluster, and changes of that."""

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

app = typer.Typer(no_args_is_help=True, help="Who belongs to the cluster, and one change of that at a time.")

POLL_SECONDS = 0.2
NOTE_SECONDS = 1.0
"""Progress is told so often."""

Node = Annotated[str, typer.Argument(metavar="NODE", help="Identity of the node.")]
Wait = Annotated[float, typer.Option("--timeout", min=0.001, metavar="SECONDS", help="How long all of it may take.")]


@app.command("list")
def list_(endpoints: Endpoints, timeout: Wait = 5.0, as_json: Json = False) -> None:
    """Show every member as the leader knows it."""
    from raft_pkg.addresses import parse_endpoints  # noqa: PLC0415
    from raft_pkg.client.members import list_members  # noqa: PLC0415

    members = asyncio.run(list_members(parse_endpoints(endpoints), timeout))
    _print(members, as_json=as_json)


@app.command()
def add(
    node: Node,
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Where it takes connections; it must run.")],
    *,
    endpoints: Endpoints,
    promote: Annotated[bool, typer.Option("--promote", help="Make it a voter as soon as it has caught up.")] = False,
    timeout: Wait = 60.0,
    as_json: Json = False,
) -> None:
    """Add a running node as a learner, and wait until it has caught up (with --promote: until it votes)."""
    from raft_pkg.client import members  # noqa: PLC0415

    def is_done(member: "pb.MemberStatus", missing: int) -> bool:
        return member.role == "voter" if promote else not missing

    def begin(addresses: tuple[str, ...], timeout: float) -> Awaitable[int]:
        return members.add_learner(addresses, node, address, timeout, promote=promote)

    _print(asyncio.run(_change(endpoints, begin, node, is_done, timeout)), as_json=as_json)


@app.command()
def promote(node: Node, endpoints: Endpoints, timeout: Wait = 30.0, as_json: Json = False) -> None:
    """Make a learner that has caught up a voter; exit status 1 when it is refused, with the reason."""
    from raft_pkg.client import members  # noqa: PLC0415

    def begin(addresses: tuple[str, ...], timeout: float) -> Awaitable[int]:
        return members.promote(addresses, node, timeout)

    _print(asyncio.run(_change(endpoints, begin, node, None, timeout)), as_json=as_json)


@app.command()
def remove(node: Node, endpoints: Endpoints, timeout: Wait = 30.0, as_json: Json = False) -> None:
    """Take a member out, the leader as well; exit status 1 when it is refused, with the reason."""
    from raft_pkg.client import members  # noqa: PLC0415

    def begin(addresses: tuple[str, ...], timeout: float) -> Awaitable[int]:
        return members.remove(addresses, node, timeout)

    _print(asyncio.run(_change(endpoints, begin, node, None, timeout)), as_json=as_json)


async def _change(
    endpoints: str,
    begin: Callable[[tuple[str, ...], float], Awaitable[int]],
    node: str,
    is_done: "Callable[[pb.MemberStatus, int], bool] | None",
    timeout: float,
) -> "Members":
    """Ask for a change, wait for its end and tell how far it is meanwhile; returns the members after it."""
    from raft_pkg.addresses import parse_endpoints  # noqa: PLC0415
    from raft_pkg.client.members import list_members  # noqa: PLC0415
    from raft_pkg.errors import OperationFailedError, OutcomeUnknownError  # noqa: PLC0415

    addresses = parse_endpoints(endpoints)
    deadline = time.monotonic() + timeout
    await begin(addresses, timeout)
    noted_at = time.monotonic()
    while True:
        try:
            members = await list_members(addresses, max(0.001, deadline - time.monotonic()))
        except OperationFailedError:  # between two leaders
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
        return f"{member.role}, has {member.snapshot_bytes_sent:,} of {member.snapshot_bytes:,} bytes of the snapshot"
    return f"{member.role}, {members.missing(member):,} of {members.response.last_log_index:,} entries are missing"


def _print(members: "Members", *, as_json: bool) -> None:
    if as_json:
        print_json(members.to_json())
        return
    answer = members.response
    headings = ("node", "address", "role", "on disk", "missing", "snapshot", "heard")
    print_table(headings, [_row(members, member) for member in answer.members])
    state = "two configurations decide together" if answer.joint else "one configuration decides"
    print_line(f"leader: {answer.leader_id or 'none'}; {state}, of index {answer.configuration_index}")


def _row(members: "Members", member: "pb.MemberStatus") -> tuple[object, ...]:
    snapshot = f"{member.snapshot_bytes_sent:,} of {member.snapshot_bytes:,} bytes" if member.snapshot_bytes else None
    role = f"{member.role}, to be promoted" if member.promoting else member.role
    heard = None if member.id == members.response.leader_id else f"{member.heard_seconds:.2f} s ago"
    return member.id, member.address, role, member.match_index, members.missing(member), snapshot, heard
