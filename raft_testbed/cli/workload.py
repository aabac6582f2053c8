"""`raftctl workload`: run concurrent clients and record their history."""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raft_pkg.cli.options import Endpoints
from raft_pkg.errors import ConfigurationError
from raft_testbed.workload.generator import VALUE_BYTES_MAX, parse_mix

if TYPE_CHECKING:
    from raft_testbed.workload.settings import Settings


def workload(
    endpoints: Endpoints,
    *,
    clients: Annotated[int, typer.Option(min=1, metavar="N", help="Number of concurrent clients.")] = 5,
    readers: Annotated[int, typer.Option(min=0, metavar="N", help="Number of clients that only read.")] = 0,
    rate: Annotated[
        float, typer.Option(min=0, metavar="R", help="Operations per second of all clients; 0: unlimited.")
    ] = 0.0,
    duration: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Duration; 0: until SIGUSR1.")] = 10.0,
    keys: Annotated[int, typer.Option(min=1, metavar="K", help="Number of keys that the clients share.")] = 5,
    history: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the history to a file. [stdout]", show_default=False)
    ] = None,
    stdout: Annotated[
        bool | None,
        typer.Option("--stdout/--no-stdout", help="Write the history to stdout. [if no --history]", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the choice of operations and keys.")] = 0,
    run_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Prefix of every key, not used before. [random]")
    ] = None,
    mix: Annotated[
        str, typer.Option(metavar="F=WEIGHT,…", help="Relative frequency of each operation.")
    ] = "read=6,write=3,cas=3,append=4,delete=1",
    value_bytes: Annotated[
        int, typer.Option(min=0, max=VALUE_BYTES_MAX, metavar="BYTES", help="Minimum size of a value.")
    ] = 0,
    timeout: Annotated[float, typer.Option(min=0.001, metavar="SECONDS", help="Deadline of each operation.")] = 2.0,
    final_reads: Annotated[bool, typer.Option(help="Read every key at the end, once there is a leader.")] = True,
    final_reads_limit: Annotated[
        float, typer.Option(min=0.001, metavar="SECONDS", help="Deadline of the final reads.")
    ] = 30.0,
) -> None:
    """Run concurrent clients against a cluster and record their history (docs/reference/history.md)."""
    import secrets  # noqa: PLC0415

    from raft_pkg.addresses import parse_endpoints  # noqa: PLC0415
    from raft_testbed.workload.settings import Settings  # noqa: PLC0415

    settings = Settings(
        parse_endpoints(endpoints),
        run_id or secrets.token_hex(4),
        clients=clients,
        readers=readers,
        rate=rate,
        seconds=duration,
        keys=keys,
        seed=seed,
        mix=parse_mix(mix),
        value_bytes=value_bytes,
        timeout=timeout,
        final_reads=final_reads,
        final_reads_seconds_max=final_reads_limit,
    )
    to_stdout = history is None if stdout is None else stdout
    if history is None and not to_stdout:
        raise ConfigurationError("--no-stdout: without --history the history would be lost")
    raise typer.Exit(asyncio.run(_run(settings, history, to_stdout)))


async def _run(settings: "Settings", history: Path | None, to_stdout: bool) -> int:
    import os  # noqa: PLC0415

    from raft_pkg.events import EventLog  # noqa: PLC0415
    from raft_testbed.workload.program import Workload  # noqa: PLC0415
    from raft_testbed.workload.recorder import Recorder, Tee  # noqa: PLC0415

    with contextlib.ExitStack() as stack:
        streams = [sys.stdout] if to_stdout else []
        if history is not None:
            try:
                streams.append(stack.enter_context(history.open("w", encoding="utf-8")))
            except OSError as error:
                raise ConfigurationError(f"--history: {error}") from error
        log = EventLog(os.environ.get("RAFT_CLIENT_NAME", "client"), Tee(*streams))
        workload = Workload(settings, Recorder(log))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, workload.interrupt, number.name)
        loop.add_signal_handler(signal.SIGUSR1, workload.finish)
        return await workload.run()
