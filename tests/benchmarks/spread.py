"""Statistics over several rounds."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, minimum and maximum of some numbers."""

    median: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Self:
        """Return the spread of at least one number."""
        return cls(statistics.median(numbers), min(numbers), max(numbers))

    def __str__(self) -> str:
        if self.minimum == self.maximum:
            return rounded(self.median)
        return f"{rounded(self.median)} ({rounded(self.minimum)} … {rounded(self.maximum)})"


def rounded(number: float) -> str:
    """Return a number with three significant digits, and all digits before the decimal point."""
    if number == 0 or abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def ratios(ours: Mapping[int, float], theirs: Mapping[int, float]) -> list[float]:
    """Return ours over theirs for each common round: a disturbance of a round affects both."""
    return [ours[number] / theirs[number] for number in sorted(ours) if theirs.get(number)]
