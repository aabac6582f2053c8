"""What several rounds say together."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of some numbers, and how far they lie apart."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Self:
        """Of at least one number."""
        return cls(statistics.median(numbers), min(numbers), max(numbers))

    def __str__(self) -> str:
        if self.least == self.greatest:
            return rounded(self.median)
        return f"{rounded(self.median)} ({rounded(self.least)} … {rounded(self.greatest)})"


def rounded(number: float) -> str:
    """Three significant digits, and all those before the point."""
    if number == 0 or abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def ratios(ours: Mapping[int, float], theirs: Mapping[int, float]) -> list[float]:
    """Ours over theirs, in each round that both have: what disturbs a round disturbs both."""
    return [ours[number] / theirs[number] for number in sorted(ours) if theirs.get(number)]
