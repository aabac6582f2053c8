"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Endpoints = Annotated[
    str,
    typer.Option(
        envvar="RAFT_ENDPOINTS", metavar="HOST:PORT,…", help="Addresses of nodes; one is enough to find the others."
    ),
]
Timeout = Annotated[float, typer.Option(min=0.001, metavar="SECONDS", help="How long the operation may take.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object (docs/reference/cli.md) on stdout.")]
Directory = Annotated[
    Path, typer.Option("--dir", metavar="DIR", help="Where the cluster's description, logs and data are.")
]
DEFAULT_DIRECTORY = Path(".testbed/local")

Milliseconds = Annotated[int, typer.Option(min=1, metavar="MS")]
