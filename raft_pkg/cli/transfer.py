"""`raftctl transfer NODE`: transfer leadership."""

import asyncio
from typing import Annotated

import typer

from raft_pkg.cli.options import Endpoints, Json, Timeout
from raft_pkg.cli.output import print_json, print_line


def transfer(
    node: Annotated[str, typer.Argument(metavar="NODE", help="Id of the new leader.")],
    endpoints: Endpoints,
    timeout: Timeout = 5.0,
    as_json: Json = False,
) -> None:
    """Transfer leadership to NODE. Exit status 1 if it is refused, with the reason."""
    from raft_pkg.addresses import parse_endpoints  # noqa: PLC0415
    from raft_pkg.client.transfer import transfer_leadership  # noqa: PLC0415

    term = asyncio.run(transfer_leadership(parse_endpoints(endpoints), node, timeout))
    if as_json:
        print_json({"leader": node, "term": term})
    else:
        print_line(f"{node} leads term {term}")
