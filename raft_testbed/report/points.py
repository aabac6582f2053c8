"""The operations as points to draw: latency of each, and how many a second had which outcome."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from raft_testbed.history import OUTCOMES, Operation

POINTS_MAX = 20_000
BUCKETS_MAX = 600
LATENCY_SECONDS_MIN = 1e-5


@dataclass(frozen=True, slots=True)
class Point:
    """One operation at the time of its outcome, or of the run's end when it has none."""

    operation: Operation
    at: float
    """Seconds since the run began."""
    latency_ms: float

    @property
    def outcome(self) -> str:
        """As it is drawn: a cas that found another value was answered as much as one that did not."""
        return "ok" if self.operation.claims_mismatch else self.operation.outcome


def points_of(operations: Iterable[Operation], started: float, ended: float) -> list[Point]:
    """A point for each operation."""
    points = []
    for operation in operations:
        called = operation.invoked_at / 1e9
        done = operation.completed_at / 1e9 if operation.completed_at else max(called, ended)
        points.append(Point(operation, done - started, max(done - called, LATENCY_SECONDS_MIN) * 1e3))
    return points


def thinned(points: Sequence[Point], points_max: int = POINTS_MAX) -> list[Point]:
    """At most so many: first what did not succeed and what was slow, then a sample of the rest."""
    if len(points) <= points_max:
        return list(points)
    rng = Random(0)
    weighted = sorted(points, key=lambda point: (point.outcome == "ok", -point.latency_ms))
    slow, rest = weighted[: points_max // 2], weighted[points_max // 2 :]
    return sorted(slow + rng.sample(rest, points_max - len(slow)), key=lambda point: point.at)


@dataclass(frozen=True, slots=True)
class Rates:
    """Operations a second in even buckets of time."""

    width: float
    """Of a bucket, in seconds."""
    begins: list[float]
    by_outcome: dict[str, list[float]]


def rates_of(points: Iterable[Point], seconds: float) -> Rates:
    """By outcome, as it is drawn."""
    width = max(0.25, seconds / BUCKETS_MAX)
    buckets = int(seconds / width) + 1
    counts = {outcome: [0.0] * buckets for outcome in OUTCOMES}
    for point in points:
        bucket = min(max(int(point.at / width), 0), buckets - 1)
        counts[point.outcome][bucket] += 1 / width
    return Rates(width, [bucket * width for bucket in range(buckets)], counts)
