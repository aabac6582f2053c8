"""A verdict on one promise, with its words."""

from dataclasses import dataclass, field
from typing import Any

from raft_testbed.checker.verdict import Verdict


@dataclass(slots=True)
class Finding:
    """What was found out about one promise."""

    name: str
    verdict: Verdict | None
    """None: it was not to be judged; `summary` says why."""
    summary: str
    details: list[str] = field(default_factory=list)
    """More lines, for people: what exactly is wrong, and where it was seen."""
    data: dict[str, Any] = field(default_factory=dict)
    """The same for programs, JSON values."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "verdict": None if self.verdict is None else str(self.verdict),
            "summary": self.summary,
            "details": self.details,
            "data": self.data,
        }


def violation_or_ok(name: str, problems: list[str], good: str, **data: Any) -> Finding:
    """A violation when there are problems, the first of which is the summary."""
    if problems:
        return Finding(name, Verdict.VIOLATION, problems[0], problems[1:], data)
    return Finding(name, Verdict.OK, good, data=data)
