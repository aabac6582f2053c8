"""Reader of log events: the one place that parses the lines of nodes and clients (see `raft_pkg.events`)."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from raft_testbed.timestamps import parse_timestamp

LogEvent = dict[str, Any]
"""One line of a log as its JSON object: `event` and the event's own fields. A node's lines have `ts`, `node` and `term`
as well."""


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """One event of a node's log."""

    at: float
    """Seconds since 1970."""
    event: str
    """Name of the event."""
    term: int
    fields: LogEvent
    """The whole JSON object."""


class NotAnObjectError(ValueError):
    """A line is not a JSON object."""


def parse_object(line: str) -> dict[str, Any]:
    """Return the JSON object in a line. Raise `NotAnObjectError` if it has none."""
    try:
        content = json.loads(line)
    except ValueError as error:
        raise NotAnObjectError(f"invalid JSON: {error}") from None
    if not isinstance(content, dict):
        raise NotAnObjectError(f"{type(content).__name__} instead of an object")
    return content


def parse_event(line: str) -> LogEvent | None:
    """Return the event in a line, or None if it has none.

    A line without an `event` name is not an event: containers also print plain text, and a crash can tear a line.
    """
    try:
        event = parse_object(line)
    except NotAnObjectError:
        return None
    return event if isinstance(event.get("event"), str) else None


def read_events(lines: Iterable[str]) -> Iterator[LogEvent]:
    """Yield the events among lines, in order."""
    for line in lines:
        event = parse_event(line)
        if event is not None:
            yield event


def parse_node_event(line: str) -> NodeEvent | None:
    """Return the event of a node's line, or None if the line is no event or lacks `ts` or `term`."""
    event = parse_event(line)
    if event is None:
        return None
    try:
        return NodeEvent(event_time(event), event["event"], int(event["term"]), event)
    except (KeyError, TypeError, ValueError):
        return None


def event_time(event: LogEvent) -> float:
    """Return the event's time in seconds since 1970. Raise `ValueError` if `ts` is missing or malformed."""
    try:
        return parse_timestamp(event["ts"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"no timestamp in {event!r}") from error


def last_event(lines: Iterable[str], name: str) -> LogEvent | None:
    """Return the last event of this name, or None."""
    found = None
    for event in read_events(lines):
        if event["event"] == name:
            found = event
    return found


def events_since(lines: Iterable[str], since: float) -> list[LogEvent]:
    """Return the events at or after `since` (seconds since 1970); skip those without a timestamp."""
    found = []
    for event in read_events(lines):
        try:
            if event_time(event) >= since:
                found.append(event)
        except ValueError:
            continue
    return found
