"""A run's directory: what it was, what clients did, what nodes logged, and which faults there were (docs/reference/report.md)."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from raft_pkg.errors import ConfigurationError
from raft_testbed.history import HistoryError, Operation, read_history

FORMAT = 1
_MARKS = ("workload_started", "final_reads_started", "workload_finished")

Field = TypeVar("Field")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a fault was to do, and what was seen of it."""

    meant: str
    observed: str
    holds: bool | None
    """Whether it was seen; None: nobody could tell."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: who suffered it and when, or why there was none. Times are seconds since 1970."""

    name: str
    target: list[str]
    began: float
    """When it was injected; 0 when it was skipped."""
    healed: float
    """When it was taken back."""
    ended: float
    """When the cluster was healthy again."""
    skipped: str | None = None
    """Why it could not be injected here."""
    unavailable_seconds_max: float | None = None
    """Longest time without an acknowledged write that is promised; None: nothing is."""
    evidence: list[Evidence] = field(default_factory=list)
    data_lost: list[str] = field(default_factory=list)
    """Nodes that lost what they had written: they may have forgotten terms and votes."""

    def __str__(self) -> str:
        return f"{self.name} of {', '.join(self.target)}" if self.target else self.name


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """One line of a node's log."""

    at: float
    """Seconds since 1970."""
    event: str
    term: int
    record: dict[str, Any]


@dataclass(slots=True)
class NodeLog:
    """What one node logged, over all its lives since that in which the run found it."""

    node: str
    events: list[NodeEvent] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Lines that are no event: what a crash tore, or what something else wrote."""


@dataclass(slots=True)
class ClientLog:
    """The history of one workload, and when its phases began."""

    name: str
    operations: list[Operation]
    marks: dict[str, dict[str, Any]]
    """The lines of `workload_started`, `final_reads_started` and `workload_finished`, as far as there are any."""
    problem: str | None = None
    """Why it can't be read as a history; `operations` is empty then."""


@dataclass(slots=True)
class Run:
    """All that is known of a run."""

    directory: Path
    description: dict[str, Any]
    """run.json as it is."""
    nodes: list[str]
    started: float
    """Seconds since 1970."""
    ended: float
    faults: list[Fault]
    clients: list[ClientLog]
    logs: dict[str, NodeLog]

    @property
    def name(self) -> str:
        return str(self.description.get("name") or self.directory.name)

    @property
    def mutants(self) -> dict[str, str]:
        """The bugs that nodes say were planted into them, each with what it breaks."""
        records = [event.record for log in self.logs.values() for event in log.events]
        return {
            str(record.get("mutant")): str(record.get("breaks"))
            for record in records
            if record["event"] == "mutant_planted"
        }

    @property
    def operations(self) -> Iterator[Operation]:
        """Of all workloads, each in the order of its calls."""
        for client in self.clients:
            yield from client.operations


def read_run(directory: Path) -> Run:
    """Read a run's directory. Raises `ConfigurationError`, naming file and line, where that can't be done."""
    description = _read_description(directory / "run.json")
    where = str(directory / "run.json")
    nodes: list[str] = _field(where, description, "nodes", list)
    started = _time(where, description, "started")
    return Run(
        directory,
        description,
        nodes,
        started,
        _time(where, description, "ended"),
        _read_faults(directory / "faults.jsonl"),
        [_read_client(path) for path in sorted(directory.glob("history*.jsonl"))],
        {node: _read_log(node, directory / "logs", started) for node in nodes},
    )


def timestamp(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()


def _read_description(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ConfigurationError(f"{path}: not an object with 'format': {FORMAT}")
    return content


def _read_faults(path: Path) -> list[Fault]:
    if not path.exists():
        return []
    faults = []
    for number, line in enumerate(_lines(path), start=1):
        where = f"{path}: line {number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ConfigurationError(f"{where}: {error}") from error
        faults.append(_fault(where, record))
    return faults


def _fault(where: str, record: dict[str, Any]) -> Fault:
    name = _field(where, record, "fault", str)
    target: list[str] = _field(where, record, "target", list)
    if record.get("skipped") is not None:
        return Fault(name, target, 0.0, 0.0, 0.0, _field(where, record, "skipped", str))
    evidence = [
        Evidence(_field(where, item, "meant", str), _field(where, item, "observed", str), item.get("holds"))
        for item in record.get("evidence") or []
    ]
    return Fault(
        name,
        target,
        _time(where, record, "began"),
        _time(where, record, "healed"),
        _time(where, record, "ended"),
        unavailable_seconds_max=record.get("unavailable_seconds_max"),
        evidence=evidence,
        data_lost=record.get("data_lost") or [],
    )


def _read_client(path: Path) -> ClientLog:
    marks: dict[str, dict[str, Any]] = {}

    def noting_marks(lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            if any(f'"{mark}"' in line for mark in _MARKS):
                record = json.loads(line)
                marks[record.get("event", "")] = record
            yield line

    try:
        return ClientLog(path.name, read_history(noting_marks(_lines(path))), marks)
    except (HistoryError, ValueError) as error:
        return ClientLog(path.name, [], marks, str(error))


def _read_log(node: str, directory: Path, started: float) -> NodeLog:
    """Its files are chunks of one log, which may overlap: each line has a time of its own, and counts once.

    Earlier lives do not count: what was done to the node between them, the run does not know.
    """
    log = NodeLog(node)
    seen: set[str] = set()
    chunks = [_lines(path) for path in (*directory.glob(f"{node}.log"), *directory.glob(f"{node}.*.log"))]
    for line in (line for chunk in sorted(map(list, chunks)) for line in chunk):
        if line in seen or not line.strip():
            continue
        seen.add(line)
        event = _node_event(line)
        if event is None:
            log.unreadable.append(line)
        else:
            if event.event == "node_started" and event.at < started:
                log.events.clear()
            log.events.append(event)
    return log


def _node_event(line: str) -> NodeEvent | None:
    try:
        record = json.loads(line)
        return NodeEvent(timestamp(record["ts"]), str(record["event"]), int(record["term"]), record)
    except (ValueError, KeyError, TypeError):
        return None


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            for line in stream:
                yield line.rstrip("\n")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _field(where: str, record: dict[str, Any], name: str, kind: Callable[..., Field]) -> Field:
    value = record.get(name)
    if not isinstance(value, kind):  # type: ignore[arg-type]
        raise ConfigurationError(f"{where}: {name!r} is {json.dumps(value)}, not of type {kind.__name__}")
    return value  # type: ignore[return-value]


def _time(where: str, record: dict[str, Any], name: str) -> float:
    try:
        return timestamp(_field(where, record, name, str))
    except ValueError as error:
        raise ConfigurationError(f"{where}: {name!r}: {error}") from error
