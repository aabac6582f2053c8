"""The verdict on anything that is judged."""

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """The property holds, is violated, or could not be determined."""

    OK = "ok"
    VIOLATION = "violation"
    UNKNOWN = "unknown"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst verdict: a violation before unknown before ok; ok if there are no verdicts."""
    found = set(verdicts)
    return next((verdict for verdict in (Verdict.VIOLATION, Verdict.UNKNOWN) if verdict in found), Verdict.OK)
