"""Reader of a run's directory: its description, histories, logs and faults (docs/reference/report.md)."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from raft_pkg.errors import ConfigurationError
from raft_pkg.events import Event
from raft_testbed.events import LogEvent, NodeEvent, parse_event, parse_node_event, parse_object
from raft_testbed.faults import FaultRecord
from raft_testbed.history import HistoryError, Operation, read_history
from raft_testbed.timestamps import parse_timestamp

FORMAT = 1
_PHASE_EVENTS = (Event.WORKLOAD_STARTED, Event.FINAL_READS_STARTED, Event.WORKLOAD_FINISHED)

Field = TypeVar("Field")


@dataclass(slots=True)
class NodeLog:
    """The log of one node, from the incarnation that was running when the run started."""

    node: str
    events: list[NodeEvent] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Lines that are not events: torn by a crash, or written by another program."""


@dataclass(slots=True)
class ClientLog:
    """The history of one workload, and the events that begin and end its phases."""

    name: str
    """Name of the file."""
    operations: list[Operation]
    phases: dict[str, LogEvent]
    """The events `workload_started`, `final_reads_started` and `workload_finished` that the file has, by name."""
    error: str | None = None
    """Why the file is not a valid history; `operations` is then empty."""


@dataclass(slots=True)
class Run:
    """The content of a run's directory."""

    directory: Path
    description: dict[str, Any]
    """The content of run.json."""
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
        """The mutants that the nodes run, according to their logs, each with its description."""
        return {
            str(event.fields.get("mutant")): str(event.fields.get("description"))
            for log in self.logs.values()
            for event in log.events
            if event.event == Event.MUTANT_LOADED
        }

    @property
    def operations(self) -> Iterator[Operation]:
        """The operations of all workloads, each workload in the order of its calls."""
        for client in self.clients:
            yield from client.operations


def read_run(directory: Path) -> Run:
    """Read a run's directory. Raise `ConfigurationError` with file and line if a file is missing or malformed."""
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
            fault = FaultRecord.from_json(parse_object(line))
            fault.check_complete()
        except ValueError as error:
            raise ConfigurationError(f"{where}: {error}") from error
        faults.append(fault)
    return faults


def _read_client(path: Path) -> ClientLog:
    phases: dict[str, LogEvent] = {}

    def noting_phases(lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            if any(f'"{name}"' in line for name in _PHASE_EVENTS):
                event = parse_event(line)
                if event is not None and event["event"] in _PHASE_EVENTS:
                    phases[event["event"]] = event
            yield line

    try:
        return ClientLog(path.name, read_history(noting_phases(_lines(path))), phases)
    except (HistoryError, ValueError) as error:
        return ClientLog(path.name, [], phases, str(error))


def _read_log(node: str, directory: Path, started: float) -> NodeLog:
    """Read the files of one node's log, which may overlap: a line counts once, because its timestamp is unique.

    Incarnations that ended before the run are dropped: the run does not know what happened to the node's disk between
    them.
    """
    log = NodeLog(node)
    seen: set[str] = set()
    parts = [_lines(path) for path in (*directory.glob(f"{node}.log"), *directory.glob(f"{node}.*.log"))]
    for line in (line for part in sorted(map(list, parts)) for line in part):
        if line in seen or not line.strip():
            continue
        seen.add(line)
        event = parse_node_event(line)
        if event is None:
            log.unreadable.append(line)
        else:
            if event.event == Event.NODE_STARTED and event.at < started:
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
