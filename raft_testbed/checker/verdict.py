"""What can be said of anything that is judged: it holds, it does not, or nobody knows."""

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """An answer, never a guess."""

    OK = "ok"
    VIOLATION = "violation"
    UNKNOWN = "unknown"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on all: a violation is one, whatever else is not known."""
    found = set(verdicts)
    return next((verdict for verdict in (Verdict.VIOLATION, Verdict.UNKNOWN) if verdict in found), Verdict.OK)
