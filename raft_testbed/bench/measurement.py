"""The result of one measurement."""

from dataclasses import dataclass
from typing import Any, Self

from raft_testbed.bench.histogram import Histogram


@dataclass(frozen=True, slots=True)
class Latencies:
    """Latencies of operations, in milliseconds."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, histogram: Histogram) -> Self:
        """Return the latencies in a histogram of nanoseconds."""
        p50, p99 = (histogram.quantile(share) / 1e6 for share in (0.5, 0.99))
        return cls(histogram.count, p50, p99, histogram.longest / 1e6)

    def to_json(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "p50_ms": round(self.p50_ms, 4),
            "p99_ms": round(self.p99_ms, 4),
            "max_ms": round(self.max_ms, 4),
        }


@dataclass(frozen=True, slots=True)
class Measurement:
    """Results of one load in one measurement window."""

    mix: str
    outstanding: int
    value_bytes: int
    keys: int
    seconds: float
    """Length of the measurement window."""
    all: Latencies
    puts: Latencies
    gets: Latencies
    failed: int
    """Number of operations that did not take effect."""
    unknown: int
    """Number of writes whose outcome is unknown."""
    longest_gap_ms: float | None
    """Longest time between two acknowledged writes, or one and an end of the window; None: no write succeeded."""
    client_cpu_us: float
    """CPU time of the measuring process for each operation."""
    processes_cpu_us: float | None
    """CPU time of `Plan.processes` for each operation; None: the plan names none."""
    collections: int
    """Garbage collections in the measuring process, of all generations."""

    @property
    def per_second(self) -> float:
        """Rate of successful operations."""
        return self.all.count / self.seconds

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of `raftctl bench --json` (docs/reference/cli.md)."""
        return {
            "mix": self.mix,
            "outstanding": self.outstanding,
            "value_bytes": self.value_bytes,
            "keys": self.keys,
            "seconds": round(self.seconds, 3),
            "per_second": round(self.per_second, 1),
            **self.all.to_json(),
            "puts": self.puts.to_json(),
            "gets": self.gets.to_json(),
            "failed": self.failed,
            "unknown": self.unknown,
            "longest_gap_ms": None if self.longest_gap_ms is None else round(self.longest_gap_ms, 3),
            "client_cpu_us": round(self.client_cpu_us, 2),
            "processes_cpu_us": None if self.processes_cpu_us is None else round(self.processes_cpu_us, 2),
            "collections": self.collections,
        }
