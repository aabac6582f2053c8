"""Options and arguments of several commands."""

from pathlib import Path
from typing import Annotated

import typer

Endpoints = Annotated[
    str,
    typer.Option(
        envvar="RAFT_ENDPOINTS", metavar="HOST:PORT,…", help="Addresses of nodes; one suffices to find the leader."
    ),
]
Timeout = Annotated[float, typer.Option(min=0.001, metavar="SECONDS", help="Deadline of the operation.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object (docs/reference/cli.md) on stdout.")]
Directory = Annotated[
    Path, typer.Option("--dir", metavar="DIR", help="Directory of the cluster's description, logs and data.")
]
DEFAULT_DIRECTORY = Path(".testbed/local")
