"""Queries over nodes' logs while a run is completed: before its directory can be read."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from raft_pkg.events import Event
from raft_testbed.events import parse_node_event, read_events
from raft_testbed.timestamps import parse_timestamp

OPTIONAL_EVENTS = {
    Event.STATE_HASH: ("state machine safety", "the nodes log no hashes of their state"),
    Event.VOTE_GRANTED: ("votes", "the nodes log no votes"),
    Event.RESOURCES_USED: ("resources", "the nodes log no resource usage"),
}
"""Events that a system under test may lack: the finding that needs each, and the reason not to judge it."""


def properties_not_judged(logs: Iterable[str]) -> dict[str, str]:
    """Return the findings whose events are in none of the logs, each with the reason."""
    found = {event["event"] for log in logs for event in read_events(log.splitlines())}
    return dict(finding for event, finding in OPTIONAL_EVENTS.items() if event not in found)


def state_hashes_pending(logs: Mapping[str, str]) -> str:
    """Return which logs (by name) lack the latest state hash that another one has; empty if none does."""
    latest = {name: _last_hashed_index(log) for name, log in logs.items()}
    expected = max(latest.values(), default=0)
    return ", ".join(f"{name} (up to {index} of {expected})" for name, index in latest.items() if index < expected)


def log_since(log: str, since: str) -> str:
    """Return the lines since a time (RFC 3339), after the earlier lines of the incarnation running at that time."""
    began = parse_timestamp(since)
    lines = log.splitlines(keepends=True)
    first = 0
    for number, line in enumerate(lines):
        event = parse_node_event(line)
        if event is None:
            continue
        if event.at >= began:
            return "".join(lines[first:])
        if event.event == Event.NODE_STARTED:
            first = number
    return ""


def read_log(path: str) -> str:
    """Return the text of a log; bytes that are not UTF-8, such as those of a torn line, are replaced."""
    return Path(path).read_text(encoding="utf-8", errors="replace")


def _last_hashed_index(log: str) -> int:
    lines = (line for line in log.splitlines() if f'"{Event.STATE_HASH}"' in line)
    return max((int(event.get("applied_index", 0)) for event in read_events(lines)), default=0)
