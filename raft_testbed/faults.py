"""The record of one fault: what a scenario asks for, what the nemesis did, and what the verdict judges.

One record is one line of a run's `faults.jsonl`; docs/reference/report.md lists its members. The scenario reader
creates the record, the nemesis completes it, and the verdict and the report read it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from raft_testbed.timestamps import format_timestamp, parse_timestamp


class FaultRecordError(ValueError):
    """A fault's record can't be read, or is incomplete. The message names the member."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observation that shows whether a fault had its effect."""

    expected: str
    """The effect, e.g. `another leader in a later term`."""
    holds: bool | None
    """Whether the effect was observed; None: it could not be determined."""
    observed: str
    """What was observed, e.g. `raft-1 led term 2, raft-2 leads term 3`."""

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Return the evidence in a JSON object. Raise `FaultRecordError` if a member is missing or malformed."""
        members = _members(content, "evidence", {"expected", "holds", "observed"})
        holds = members.get("holds")
        if holds is not None and not isinstance(holds, bool):
            raise FaultRecordError(f"'holds' is {holds!r}, not a boolean or null")
        return cls(_typed(members, "expected", str), holds, _typed(members, "observed", str))


@dataclass(slots=True)
class FaultRecord:
    """One fault of a run. Times are seconds since 1970, and RFC 3339 in JSON; 0: not (yet) reached."""

    fault: str
    """Name of the fault, e.g. `kill`."""
    target: str = ""
    """Selector of the nodes (`leader`, `minority`, a node's name …); empty: the fault's default."""
    targets: list[str] = field(default_factory=list)
    """Nodes that the selector chose."""
    seconds: float | None = None
    """How long the fault holds before it is healed; None: the fault's default."""
    options: dict[str, Any] = field(default_factory=dict)
    """Settings of the fault."""
    seed: str = ""
    """Seed of every random choice that the fault makes."""
    skipped: str | None = None
    """Why the fault is not available on this platform; None: it was injected."""
    injected_at: float = 0.0
    healed_at: float = 0.0
    recovered_at: float = 0.0
    """When the cluster was healthy again."""
    unavailability_slo_seconds: float | None = None
    """Longest permitted time without an acknowledged write; None: no SLO."""
    evidence: list[Evidence] = field(default_factory=list)
    data_lost: list[str] = field(default_factory=list)
    """Nodes that lost their storage, and with it their term and vote."""
    leader_before: str = ""
    term_before: int = 0
    leader_after: str = ""
    term_after: int = 0

    def __str__(self) -> str:
        return f"{self.fault} of {', '.join(self.targets)}" if self.targets else self.fault

    def add_evidence(self, expected: str, holds: bool | None, observed: str) -> None:
        """Add one observation."""
        self.evidence.append(Evidence(expected, holds, observed))

    def check_complete(self) -> None:
        """Raise `FaultRecordError` if the fault is neither skipped nor injected, healed and recovered from."""
        if self.skipped is None:
            for name in _TIMES:
                if not getattr(self, name):
                    raise FaultRecordError(f"{name!r} is missing")

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON object, without the members that have their default."""
        defaults = asdict(type(self)(""))
        content = {name: value for name, value in asdict(self).items() if value != defaults[name]}
        for name in content.keys() & set(_TIMES):
            content[name] = format_timestamp(content[name])
        return content

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Return the record in a JSON object.

        Only `fault` is required. Raise `FaultRecordError` if a member is unknown or malformed.
        """
        members = _members(content, "fault", {known.name for known in fields(cls)})
        _typed(members, "fault", str)
        values: dict[str, Any] = {}
        for name, value in members.items():
            if name in _TIMES:
                values[name] = _time(members, name)
            elif name in _OPTIONAL:
                values[name] = None if value is None else _typed(members, name, _OPTIONAL[name])
            elif name == "evidence":
                values[name] = [Evidence.from_json(item) for item in _typed(members, name, list)]
            else:
                values[name] = _typed(members, name, _REQUIRED[name])
        return cls(**values)


_TIMES = ("injected_at", "healed_at", "recovered_at")
_OPTIONAL: dict[str, type | tuple[type, ...]] = {
    "seconds": (int, float),
    "skipped": str,
    "unavailability_slo_seconds": (int, float),
}
_REQUIRED: dict[str, type | tuple[type, ...]] = {
    "fault": str,
    "target": str,
    "targets": list,
    "options": dict,
    "seed": str,
    "data_lost": list,
    "leader_before": str,
    "term_before": int,
    "leader_after": str,
    "term_after": int,
}


def _members(content: Any, what: str, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise FaultRecordError(f"{what}: {type(content).__name__} instead of an object")
    unknown = sorted(content.keys() - known)
    if unknown:
        raise FaultRecordError(f"{what}: unknown member: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    return content


def _typed(members: Mapping[str, Any], name: str, expected: type | tuple[type, ...]) -> Any:
    if name not in members:
        raise FaultRecordError(f"{name!r} is missing")
    value = members[name]
    if not isinstance(value, expected) or isinstance(value, bool):
        types = expected if isinstance(expected, tuple) else (expected,)
        raise FaultRecordError(f"{name!r} is {value!r}, not of type {' or '.join(kind.__name__ for kind in types)}")
    return value


def _time(members: Mapping[str, Any], name: str) -> float:
    text = _typed(members, name, str)
    try:
        return parse_timestamp(text)
    except ValueError as error:
        raise FaultRecordError(f"{name!r}: {error}") from error
