"""Reader of a run's directory: its description, histories, logs and faults (docs/reference/report.md)."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from raft_pkg.errors import ConfigurationError
from raft_testbed.events import NodeEvent, parse_event, parse_node_event
from raft_testbed.faults import FaultRecord
from raft_testbed.history import HistoryError, Operation, read_history
from raft_testbed.timestamps import parse_timestamp

FORMAT = 1
_MARKS = ("workload_started", "final_reads_started", "workload_finished")

Field = TypeVar("Field")


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
    faults: list[FaultRecord]
    clients: list[ClientLog]
    logs: dict[str, NodeLog]

    @property
    def name(self) -> str:
        return str(self.description.get("name") or self.directory.name)

    @property
    def mutants(self) -> dict[str, str]:
        """The mutants that the nodes reported to have loaded, each with what it breaks."""
        records = [event.fields for log in self.logs.values() for event in log.events]
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


def _read_description(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ConfigurationError(f"{path}: not an object with 'format': {FORMAT}")
    return content


def _read_faults(path: Path) -> list[FaultRecord]:
    if not path.exists():
        return []
    faults = []
    for number, line in enumerate(_lines(path), start=1):
        where = f"{path}: line {number}"
        try:
            fault = FaultRecord.from_json(json.loads(line))
            fault.check_complete()
        except ValueError as error:
            raise ConfigurationError(f"{where}: {error}") from error
        faults.append(fault)
    return faults


def _read_client(path: Path) -> ClientLog:
    marks: dict[str, dict[str, Any]] = {}

    def noting_marks(lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            if any(f'"{mark}"' in line for mark in _MARKS):
                event = parse_event(line)
                if event is not None and event["event"] in _MARKS:
                    marks[event["event"]] = event
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
        event = parse_node_event(line)
        if event is None:
            log.unreadable.append(line)
        else:
            if event.event == "node_started" and event.at < started:
                log.events.clear()
            log.events.append(event)
    return log


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
        return parse_timestamp(_field(where, record, name, str))
    except ValueError as error:
        raise ConfigurationError(f"{where}: {name!r}: {error}") from error
