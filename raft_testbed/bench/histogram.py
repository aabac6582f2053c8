"""Durations, counted in buckets whose width grows with them: memory and cost do not depend on how many there are."""

SIGNIFICANT_BITS = 7
"""A bucket is at most a 64th of its durations wide; what is told of it, its middle, is wrong by less than 1 %."""
_HALF = 1 << (SIGNIFICANT_BITS - 1)
_BUCKETS = (64 - SIGNIFICANT_BITS + 2) * _HALF


class Histogram:
    """How often which duration was seen, in nanoseconds; the longest one is kept as it was."""

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
        """How many durations were recorded."""
        return sum(self.counts)

    def quantile(self, share: float) -> float:
        """The duration (ns) that `share` (0 to 1) of all were not longer than; 0 when there are none."""
        wanted = share * self.count
        seen = 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return min(_middle(bucket), self.longest)
        return 0.0

    def add(self, other: "Histogram") -> None:
        """Count all that the other one has counted."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.longest = max(self.longest, other.longest)


def _middle(bucket: int) -> float:
    """The middle of a bucket's durations."""
    if bucket < 2 * _HALF:
        return float(bucket)
    shift = bucket // _HALF - 1
    return ((bucket - shift * _HALF) + 0.5) * (1 << shift)
