"""The result of judging one property of a run."""

from dataclasses import dataclass, field
from typing import Any

from raft_testbed.checker.verdict import Verdict


@dataclass(slots=True)
class Finding:
    """The verdict on one property, and the reasons."""

    name: str
    """The property, e.g. `linearizability`."""
    verdict: Verdict | None
    """None: the property was not judged; `summary` states the reason."""
    summary: str
    """One sentence."""
    details: list[str] = field(default_factory=list)
    """Further lines for people: each deviation, and where it was observed."""
    data: dict[str, Any] = field(default_factory=dict)
    """The same for programs: JSON values."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "verdict": None if self.verdict is None else str(self.verdict),
            "summary": self.summary,
            "details": self.details,
            "data": self.data,
        }


def violation_or_ok(name: str, problems: list[str], summary_if_ok: str, **data: Any) -> Finding:
    """Return a violation with the first problem as its summary, or ok if there are no problems."""
    if problems:
        return Finding(name, Verdict.VIOLATION, problems[0], problems[1:], data)
    return Finding(name, Verdict.OK, summary_if_ok, data=data)
