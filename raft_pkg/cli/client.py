"""`raftctl client`: the client Pod's program."""

import asyncio
import signal
from typing import Annotated

import typer

from raft_pkg.cli.options import Endpoints
from raft_pkg.errors import ConfigurationError


def client(
    endpoints: Endpoints,
    run_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Part of every key, so that no two runs share one. [a random one]")
    ] = None,
    operations: Annotated[int, typer.Option(min=0, help="How many keys to write and read back.")] = 10,
    expect: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Read this key first; may be given several times.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.001, metavar="SECONDS", help="For everything together.")] = 60.0,
) -> None:
    """Find the leader, write, read back, and say so on stdout, one JSON object a line."""
    from raft_pkg.client.program import ClientProgram  # noqa: PLC0415

    # As the first process of a container it would not be ended by the signal otherwise.
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
