"""`raftctl bench`: throughput and latency of a running cluster."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from raft_pkg.cli.options import Endpoints, Json
from raft_pkg.cli.output import note, print_json, print_table
from raft_pkg.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raft_testbed.bench import Measurement, Plan

OUTSTANDING_MAX = 10_000


def bench(
    endpoints: Endpoints,
    *,
    mix: Annotated[
        str, typer.Option(metavar="MIX,…", help="put, get, any-get (executed by any node), or READS/WRITES in percent.")
    ] = "put,get",
    outstanding: Annotated[str, typer.Option(metavar="N,…", help="Numbers of concurrent operations.")] = "1,16,64,256",
    seconds: Annotated[float, typer.Option(min=0.1, help="Duration of each measurement.")] = 5.0,
    warm_up: Annotated[
        float, typer.Option(min=0.0, metavar="SECONDS", help="Duration of the load before each measurement.")
    ] = 1.0,
    value_bytes: Annotated[int, typer.Option(min=0, max=1024 * 1024, help="Size of each value.")] = 256,
    keys: Annotated[int, typer.Option(min=1, help="Number of keys.")] = 1_000,
    prefix: Annotated[str, typer.Option(help="Prefix of the keys, which are overwritten.")] = "bench",
    processes: Annotated[
        str,
        typer.Option(metavar="PID,…", show_default=False, help="Local processes whose CPU time to report."),
    ] = "",
    garbage_collection: Annotated[
        Literal["freeze", "default", "off"], typer.Option(help="Of the measuring process (docs/reference/cli.md).")
    ] = "freeze",
    as_json: Json = False,
) -> None:
    """Measure a running cluster with the client library, one load at a time."""
    from raft_testbed.bench import Plan, parse_mix  # noqa: PLC0415

    counts = _numbers("--outstanding", outstanding, OUTSTANDING_MAX)
    process_ids = tuple(_numbers("--processes", processes)) if processes else ()
    plans = [
        Plan(
            mix=parse_mix(name.strip()),
            outstanding=count,
            seconds=seconds,
            warm_up_seconds=warm_up,
            value_bytes=value_bytes,
            keys=keys,
            prefix=prefix,
            processes=process_ids,
            garbage_collection=garbage_collection,
        )
        for name in mix.split(",")
        for count in counts
    ]
    measurements = asyncio.run(_measure(endpoints, plans, quiet=as_json))
    if as_json:
        print_json({"measurements": [measurement.to_json() for measurement in measurements]})
    else:
        _print_measurements(measurements, with_processes=bool(process_ids))


def _numbers(option: str, text: str, maximum: int | None = None) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigurationError(f"{option} {text}: not a comma-separated list of numbers") from None
    for number in numbers:
        if number < 1 or (maximum is not None and number > maximum):
            raise ConfigurationError(f"{option}: {number} is not " + (f"1 to {maximum}" if maximum else "above 0"))
    return numbers


async def _measure(endpoints: str, plans: "Sequence[Plan]", *, quiet: bool) -> "list[Measurement]":
    import psutil  # noqa: PLC0415

    from raft_pkg.client import AsyncRaftClient  # noqa: PLC0415
    from raft_testbed.bench import AnyNodeReads, measure  # noqa: PLC0415

    measurements = []
    async with AsyncRaftClient(endpoints) as client:
        for plan in plans:
            if not quiet:
                note(f"{plan.mix.name}, {plan.outstanding} concurrent, {plan.seconds:g} s")
            target = AnyNodeReads(client) if plan.mix.any_node else client
            try:
                measurements.append(await measure(target, plan))
            except psutil.Error as error:
                raise ConfigurationError(f"--processes: {error}") from None
    return measurements


def _print_measurements(measurements: "Sequence[Measurement]", *, with_processes: bool) -> None:
    headings = ["mix", "outstanding", "per second", "p50 ms", "p99 ms", "max ms", "longest gap ms", "failed", "unknown"]
    headings += ["client CPU µs", *(["processes CPU µs"] if with_processes else [])]
    print_table(headings, [_row(measurement) for measurement in measurements])


def _row(found: "Measurement") -> tuple[object, ...]:
    gap, processes = found.longest_gap_ms, found.processes_cpu_us
    return (
        *(found.mix, found.outstanding, f"{found.per_second:,.0f}", f"{found.all.p50_ms:.2f}"),
        *(f"{found.all.p99_ms:.2f}", f"{found.all.max_ms:.1f}", None if gap is None else f"{gap:.1f}"),
        *(found.failed, found.unknown, f"{found.client_cpu_us:.1f}"),
        *(() if processes is None else (f"{processes:.1f}",)),
    )
