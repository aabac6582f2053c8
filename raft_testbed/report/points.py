"""Operations as points to plot: the latency of each, and the rate of each outcome."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from raft_testbed.history import OUTCOMES, Operation

POINTS_MAX = 20_000
BUCKETS_MAX = 600
LATENCY_SECONDS_MIN = 1e-5


@dataclass(frozen=True, slots=True)
class Point:
    """One operation at the time of its outcome, or at the end of the run if it has none."""

    operation: Operation
    at: float
    """Seconds since the run started."""
    latency_ms: float

    @property
    def outcome(self) -> str:
        """The outcome as plotted: a cas with a mismatch is a successful reply, hence `ok`."""
        return "ok" if self.operation.claims_mismatch else self.operation.outcome


def points_of(operations: Iterable[Operation], started: float, ended: float) -> list[Point]:
    """Return a point for each operation of a run from `started` to `ended` (seconds since 1970)."""
    points = []
    for operation in operations:
        called = operation.invoked_at / 1e9
        done = operation.completed_at / 1e9 if operation.completed_at else max(called, ended)
        points.append(Point(operation, done - started, max(done - called, LATENCY_SECONDS_MIN) * 1e3))
    return points


def thin_out(points: Sequence[Point], points_max: int = POINTS_MAX) -> list[Point]:
    """Return at most `points_max` points: unsuccessful and slow operations first, then a sample of the others."""
    if len(points) <= points_max:
        return list(points)
    rng = Random(0)
    weighted = sorted(points, key=lambda point: (point.outcome == "ok", -point.latency_ms))
    slow, rest = weighted[: points_max // 2], weighted[points_max // 2 :]
    return sorted(slow + rng.sample(rest, points_max - len(slow)), key=lambda point: point.at)


@dataclass(frozen=True, slots=True)
class Rates:
    """Operations per second in buckets of equal width."""

    width: float
    """Width of a bucket in seconds."""
    begins: list[float]
    """Start of each bucket, in seconds since the run started."""
    by_outcome: dict[str, list[float]]
    """Operations per second in each bucket, for each outcome."""


def rates_of(points: Iterable[Point], seconds: float) -> Rates:
    """Return the rates of each outcome in a run of `seconds`."""
    width = max(0.25, seconds / BUCKETS_MAX)
    buckets = int(seconds / width) + 1
    counts = {outcome: [0.0] * buckets for outcome in OUTCOMES}
    for point in points:
        bucket = min(max(int(point.at / width), 0), buckets - 1)
        counts[point.outcome][bucket] += 1 / width
    return Rates(width, [bucket * width for bucket in range(buckets)], counts)
