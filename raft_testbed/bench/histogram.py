"""Histogram of durations with logarithmic buckets: memory and cost do not depend on the number of durations."""

SIGNIFICANT_BITS = 7
"""The width of a bucket is at most 1/64 of its durations, so its middle has an error below 1 %."""
_HALF = 1 << (SIGNIFICANT_BITS - 1)
_BUCKETS = (64 - SIGNIFICANT_BITS + 2) * _HALF


class Histogram:
    """Counts durations in nanoseconds; the longest one is stored exactly."""

    __slots__ = ("counts", "longest")

    def __init__(self) -> None:
        self.counts = [0] * _BUCKETS
        self.longest = 0

    def record(self, nanoseconds: int) -> None:
        """Count one duration, which must not be negative."""
        shift = nanoseconds.bit_length() - SIGNIFICANT_BITS
        shift = max(shift, 0)
        self.counts[shift * _HALF + (nanoseconds >> shift)] += 1
        self.longest = max(self.longest, nanoseconds)

    @property
    def count(self) -> int:
        """Number of recorded durations."""
        return sum(self.counts)

    def quantile(self, share: float) -> float:
        """Return the duration (ns) that a `share` (0 to 1) of all durations do not exceed; 0 if there are none."""
        wanted = share * self.count
        cumulated = 0
        for bucket, count in enumerate(self.counts):
            cumulated += count
            if count and cumulated >= wanted:
                return min(_middle(bucket), self.longest)
        return 0.0

    def add(self, other: "Histogram") -> None:
        """Add the counts of another histogram."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.longest = max(self.longest, other.longest)


def _middle(bucket: int) -> float:
    """Return the middle of a bucket's durations."""
    if bucket < 2 * _HALF:
        return float(bucket)
    shift = bucket // _HALF - 1
    return ((bucket - shift * _HALF) + 0.5) * (1 << shift)
