"""Targets of the benchmarks, compared with the measurements."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.session import Record
from tests.benchmarks.spread import Spread, ratios, rounded

OURS, ETCD, PYSYNCOBJ, CEILING = "raft_pkg", "etcd", "PySyncObj", "etcd, h2load"


LOADS = {"put": ("writes", "Puts"), "get": ("reads", "Linearizable gets")}
"""Loads that are shown against outstanding operations: part and title by mix."""


@dataclass(frozen=True, slots=True)
class Row:
    """One target and its measurement."""

    number: int
    """Number of the target in docs/explanation/benchmarks.md."""
    what: str
    measured: str
    target: str = ""
    met: bool | None = None
    """Whether the target is met; None: there is no target, or nothing to compare with."""


class Measurements:
    """Queries over the records of a run."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = [record for record in records if "not_measured" not in record]

    def by_round(self, number: str, **criteria: Any) -> dict[int, float]:
        """Return one number of all matching records, by round."""
        return {
            record["round"]: record[number]
            for record in self._records
            if all(record.get(name) == value for name, value in criteria.items()) and record.get(number) is not None
        }

    def values(self, number: str, **criteria: Any) -> list[float]:
        """Return one number of all matching records."""
        return [*self.by_round(number, **criteria).values()]

    def first(self, **criteria: Any) -> Record | None:
        """Return the first matching record."""
        for record in self._records:
            if all(record.get(name) == value for name, value in criteria.items()):
                return record
        return None


def rows(records: Sequence[Record]) -> list[Row]:
    """Return a row for each measured target, in order."""
    data = Measurements(records)
    return [row for part in _PARTS for row in part(data)]


@dataclass(frozen=True, slots=True)
class Load:
    """Throughput and median latency of all systems, as text, by the number of outstanding operations."""

    title: str
    outstanding: Sequence[int]
    cells: dict[str, list[str]]
    """For each system, a cell for each number in `outstanding`."""


def loads(records: Sequence[Record]) -> list[Load]:
    """Return a table for puts and one for gets, if measured."""
    result = []
    for mix, (part, title) in LOADS.items():
        chosen = [record for record in records if record["part"] == part and record.get("mix") == mix]
        counts = sorted({record["outstanding"] for record in chosen})
        cells = {
            system: [_cell([r for r in chosen if line_of(r) == system and r["outstanding"] == n]) for n in counts]
            for system in dict.fromkeys(map(line_of, chosen))
        }
        if cells:
            result.append(Load(title, counts, cells))
    return result


def line_of(record: Record) -> str:
    """Return the name of a record's line: the system, or a variant of it."""
    return f"{record['system']}, leases" if record.get("lease") else str(record["system"])


def _cell(records: Sequence[Record]) -> str:
    if not records:
        return ""
    rate, p50 = (Spread.of([record[name] for record in records]).median for name in ("per_second", "p50_ms"))
    return f"{rounded(rate)}; {rounded(p50)}"


def _at_least(number: int, what: str, values: Sequence[float], target: float, unit: str = "times") -> list[Row]:
    return _compared(number, what, values, f"at least {target:g} {unit}", lambda median: median >= target)


def _at_most(number: int, what: str, values: Sequence[float], target: float, unit: str) -> list[Row]:
    return _compared(number, what, values, f"at most {target:g} {unit}", lambda median: median <= target)


def _compared(number: int, what: str, values: Sequence[float], target: str, met: Callable[[float], bool]) -> list[Row]:
    if not values:
        return []
    spread = Spread.of(values)
    return [Row(number, what, str(spread), target, met(spread.median))]


def _info(number: int, what: str, values: Sequence[float], unit: str) -> list[Row]:
    return [Row(number, what, f"{Spread.of(values)} {unit}")] if values else []


def _writes(data: Measurements) -> list[Row]:
    targets = (
        *((ETCD, 256, 6.0), (PYSYNCOBJ, 256, 9.0), (CEILING, 256, 3.0)),
        *((ETCD, 64, 5.0), (ETCD, 16, 2.5), (ETCD, 1, 1.0)),
    )
    return [
        row
        for other, outstanding, target in targets
        for row in _at_least(
            1,
            f"puts per second, {outstanding} outstanding, over {other}",
            ratios(
                data.by_round("per_second", part="writes", system=OURS, outstanding=outstanding),
                data.by_round("per_second", part="writes", system=other, outstanding=outstanding),
            ),
            target,
        )
    ]


def _reads(data: Measurements) -> list[Row]:
    def ratio(mix: str, outstanding: int, *, lease: bool = False, other_mix: str | None = None) -> list[float]:
        ours = {"part": "reads", "system": OURS, "mix": mix, "outstanding": outstanding, "lease": lease}
        theirs = {"part": "reads", "system": ETCD, "mix": other_mix or mix, "outstanding": outstanding}
        return ratios(data.by_round("per_second", **ours), data.by_round("per_second", **theirs))

    def over_own(outstanding: int) -> list[float]:
        gets = {"part": "reads", "system": OURS, "mix": "get", "outstanding": outstanding}
        return ratios(
            data.by_round("per_second", **gets, lease=True),
            data.by_round("per_second", **gets, lease=False),
        )

    result = _at_least(2, "gets per second, 256 outstanding, over etcd", ratio("get", 256), 6.0)
    result += _at_least(2, "gets per second, 1 outstanding, over etcd", ratio("get", 1), 0.8)
    for outstanding in (256, 1):
        result += _at_least(
            2, f"gets with leases, {outstanding} outstanding, over ours without", over_own(outstanding), 1.0
        )
    result += _info(2, "gets by any node, 256 outstanding, over etcd", ratio("any-get", 256, other_mix="get"), "times")
    for mix in ("90/10", "50/50"):
        result += _info(2, f"{mix} reads/writes, 256 outstanding, over etcd", ratio(mix, 256), "times")
    return result


def _latencies(data: Measurements) -> list[Row]:
    criteria = {"part": "writes", "system": OURS, "outstanding": 256}
    p99, p50 = (data.by_round(name, **criteria) for name in ("p99_ms", "p50_ms"))
    result = _at_most(3, "p99 over p50 of puts, 256 outstanding", ratios(p99, p50), 5.0, "times")
    gaps = data.values("longest_gap_ms", **criteria)
    result += _info(3, "longest gap between puts, 256 outstanding, with segment rollover", gaps, "ms")
    for outstanding in (16, 256):
        gaps = data.values("longest_gap_ms", part="snapshots", outstanding=outstanding)
        sizes = [max(r) for r in data.values("snapshots", part="snapshots", outstanding=outstanding)]  # type: ignore[call-overload]
        of = f" of {rounded(max(sizes) / 1e6)} MB" if sizes else ""
        result += _at_most(
            3, f"longest gap between writes with a snapshot{of}, {outstanding} outstanding, ms", gaps, 50.0, "ms"
        )
    return result


def _cost(data: Measurements) -> list[Row]:
    def cpu(system: str, value_bytes: int, nodes: int) -> dict[int, float]:
        criteria = {"part": "cost", "system": system, "value_bytes": value_bytes, "nodes": nodes}
        client, others = (data.by_round(name, **criteria) for name in ("client_cpu_us", "processes_cpu_us"))
        return {number: client[number] + others[number] for number in client}

    result = _at_most(
        4, "CPU µs of all processes for a put, 256 outstanding", [*cpu(OURS, 256, 3).values()], 30.0, "µs"
    )
    result += _info(4, "the same of etcd and its Python client", [*cpu(ETCD, 256, 3).values()], "µs")
    for value_bytes in (64, 4096, 65536):
        result += _info(4, f"CPU µs for a put of {value_bytes:,} bytes", [*cpu(OURS, value_bytes, 3).values()], "µs")
    growth = ratios(cpu(OURS, 65536, 3), cpu(OURS, 4096, 3))
    result += _at_most(4, "CPU for 64 KiB over CPU for 4 KiB", growth, 16.0, "times (linear)")
    result += _at_most(4, "CPU with 5 nodes over 3", ratios(cpu(OURS, 256, 5), cpu(OURS, 256, 3)), 1.7, "times")
    return result


def _failover(data: Measurements) -> list[Row]:
    def times(system: str, what: str) -> list[float]:
        return data.values("milliseconds", part="failover", system=system, what=what)

    ours = times(OURS, "kill")
    if not ours:
        return []
    spread = Spread.of(ours)
    result = [
        Row(
            5,
            f"ms from kill -9 of the leader to a write, median of {len(ours)}",
            str(spread),
            "at most 220 ms",
            spread.median <= 220,
        ),
        Row(5, f"the worst of {len(ours)}", f"{spread.maximum:.0f}", "at most 500 ms", spread.maximum <= 500),
    ]
    for other in (ETCD, PYSYNCOBJ):
        if theirs := times(other, "kill"):
            their_spread = Spread.of(theirs)
            result.append(
                Row(
                    5,
                    f"the same of {other}, same time-outs",
                    str(their_spread),
                    "more than ours",
                    their_spread.median > spread.median,
                )
            )
    for what, words in (
        ("pause", "from SIGSTOP of the leader to a write"),
        ("transfer", "without a write during a leadership transfer"),
    ):
        result += _at_most(5, f"ms {words}", times(OURS, what), {"pause": 220.0, "transfer": 50.0}[what], "ms")
        result += _info(5, "the same of etcd", times(ETCD, what), "ms")
    return result


def _restart(data: Measurements) -> list[Row]:
    criteria = {"part": "restart", "system": OURS}
    ours, theirs = (data.by_round("milliseconds", part="restart", system=system) for system in (OURS, ETCD))
    record = data.first(**criteria)
    entries = f"{record['entries']:,}" if record else ""
    result = _info(6, f"ms from the start of all nodes, {entries} entries, to a write", [*ours.values()], "ms")
    result += _info(6, "the same of etcd", [*theirs.values()], "ms")
    result += _at_most(6, "ours over etcd's", ratios(ours, theirs), 1.0, "times")
    if memory := data.first(part="memory"):
        restarted = f"{memory['restart_milliseconds']:,.0f} ms, then {memory['restarted_bytes'] / 1e6:,.0f} MB a node"
        result.append(Row(6, f"restart with {memory['keys']:,} keys", restarted))
    return result


def _memory(data: Measurements) -> list[Row]:
    memory = data.first(part="memory")
    if memory is None:
        return []
    result = _at_most(
        7,
        f"memory of a key with 256 bytes, {memory['keys']:,} keys",
        [memory["bytes_per_key"]],
        768.0,
        "bytes",
    )
    grown = f"{memory['full_bytes'] / 1e6:,.0f} → {memory['overwritten_bytes'] / 1e6:,.0f} MB"
    after = f"{memory['overwritten']['count']:,} more writes in {memory['overwrite_seconds']:g} s"
    return [*result, Row(7, f"resident size of the fullest node after {after}", grown, "flat")]


def _unary(data: Measurements) -> list[Row]:
    ours, echo = (data.by_round("per_second", part="unary", system=system) for system in ("KeyValue.Put", "echo"))
    return [
        *_at_least(8, "unary puts per second, 64 outstanding, over a unary echo", ratios(ours, echo), 0.6),
        *_info(8, "the echo", [*echo.values()], "per second"),
    ]


def _testbed(data: Measurements) -> list[Row]:
    def seconds(name: str) -> dict[int, float]:
        return data.by_round("seconds", part="testbed", system=name)

    site, bare = seconds("site.yml"), seconds("bare commands")
    return [
        *_at_most(9, "site.yml on kind over the bare commands", ratios(site, bare), 1.15, "times"),
        *_info(9, "site.yml on kind, from scratch", [*site.values()], "s"),
        *_info(9, "site.yml again, without changes", [*seconds("site.yml again").values()], "s"),
        *_at_most(
            9,
            "s to the end of the rollout of a changed file",
            [*seconds("site.yml with a changed file").values()],
            30.0,
            "s",
        ),
    ]


def _tools(data: Measurements) -> list[Row]:
    result = _info(10, "seeds per minute, 5 nodes", data.values("seeds_per_minute", part="tools"), "seeds")
    if checked := data.first(part="tools", system="raftctl check"):
        for name, limit, unit in (("seconds", 10.0, "s"), ("memory_mb", 1000.0, "MB")):
            what = f"raftctl check of {checked['operations']:,} operations, {unit}"
            result += _at_most(10, what, [checked[name]], limit, unit)
    return result


def _durability(data: Measurements) -> list[Row]:
    result = []
    for system in (OURS, ETCD, PYSYNCOBJ):
        if (record := data.first(part="durability", system=system)) is not None:
            syncs = f"{record['syncs'] / record['acknowledged']:.2f}"
            is_durable = record["syncs"] >= 2 * record["acknowledged"]
            met = None if system == PYSYNCOBJ else is_durable
            target = "not durable" if system == PYSYNCOBJ else "at least 2"
            result.append(Row(0, f"syncs on three nodes for a write of {system}, 1 outstanding", syncs, target, met))
    return result


_PARTS = (_durability, _writes, _reads, _latencies, _cost, _failover, _restart, _memory, _unary, _testbed, _tools)
