"""Reader of event lines: the one place that parses what nodes and clients log (see `raft_pkg.events`)."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

Event = dict[str, Any]
"""One log event: `ts`, `node`, `event`, `term`, and the event's own fields."""


def parse_event(line: str) -> Event | None:
    """Return the event that a line states, or None if the line states none.

    A line without an `event` name is not an event: containers also print plain text.
    """
    try:
        event = json.loads(line)
    except ValueError:
        return None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return None
    return event


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events among lines, in order."""
    for line in lines:
        event = parse_event(line)
        if event is not None:
            yield event


def timestamp(event: Event) -> float:
    """Return the event's time in seconds since 1970. Raise `ValueError` if `ts` is missing or malformed."""
    try:
        return datetime.fromisoformat(event["ts"]).timestamp()
    except (KeyError, TypeError) as error:
        raise ValueError(f"no timestamp in {event!r}") from error


def events_since(lines: Iterable[str], since: float) -> list[Event]:
    """Return the events at or after `since` (seconds since 1970); skip those without a timestamp."""
    found = []
    for event in read_events(lines):
        try:
            if timestamp(event) >= since:
                found.append(event)
        except ValueError:
            continue
    return found
