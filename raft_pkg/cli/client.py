"""`raftctl client`: the program of the client Pod."""

import asyncio
import signal
from typing import Annotated

import typer

from raft_pkg.cli.options import Endpoints
from raft_pkg.errors import ConfigurationError


def client(
    endpoints: Endpoints,
    run_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Part of every key, so that runs share no keys. [random]")
    ] = None,
    operations: Annotated[int, typer.Option(min=0, help="Number of keys to write and read back.")] = 10,
    expect: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Verify this key first. May be repeated.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.001, metavar="SECONDS", help="Limit of the whole run.")] = 60.0,
) -> None:
    """Find the leader, write and read back; log each step on stdout as one JSON object per line."""
    from raft_pkg.client.program import ClientProgram  # noqa: PLC0415

    # The kernel ignores SIGTERM for the first process of a container unless it has a handler.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    program = ClientProgram(
        endpoints, run_id=run_id, operations=operations, expected=_parse_expected(expect or []), timeout=timeout
    )
    raise typer.Exit(asyncio.run(program.run()))


def _parse_expected(expect: list[str]) -> list[tuple[str, str]]:
    pairs = []
    for part in expect:
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise ConfigurationError(f"--expect {part!r} is not KEY=VALUE")
        pairs.append((key, value))
    return pairs
