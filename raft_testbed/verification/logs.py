"""Leaders and writes as the collected logs show them.

The logs of a cluster map each node to the text of each of its incarnations, the oldest first.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from raft_pkg.events import Event
from raft_testbed.events import LogEvent, event_time, read_events
from raft_testbed.timestamps import parse_timestamp
from raft_testbed.verdict.elections import leaders_by_term

Logs = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Leadership:
    """A leader and its term; no leader: term 0 and None."""

    term: int = 0
    leader: str | None = None

    def to_json(self) -> dict[str, int | str | None]:
        return {"term": self.term, "leader": self.leader}


def all_events(logs: Logs) -> Iterator[LogEvent]:
    """Yield the events of all incarnations of all nodes."""
    for texts in logs.values():
        for text in texts:
            yield from read_events(text.splitlines())


def latest_leadership(logs: Logs) -> Leadership:
    """Return the leader of the latest term that has one."""
    leaders = leaders_by_term(all_events(logs))
    if not leaders:
        return Leadership()
    term = max(leaders)
    return Leadership(term, leaders[term][0])


def followed_leader(log: str) -> Leadership:
    """Return the leader that a node follows at the end of a log of one or more incarnations."""
    followed = Leadership()
    for event in read_events(log.splitlines()):
        if event["event"] == Event.NODE_STARTED:
            followed = Leadership()
        elif event["event"] == Event.LEADER_CHANGED:
            followed = Leadership(event["term"], event["leader"])
    return followed


def followed_leaders(logs: Logs) -> dict[str, Leadership]:
    """Return the leader that the latest incarnation of each node follows."""
    return {node: followed_leader(texts[-1] if texts else "") for node, texts in logs.items()}


def agreed_leader(logs: Logs) -> Leadership | None:
    """Return the leader that the latest incarnations of all nodes follow; None if they disagree."""
    followed = list(followed_leaders(logs).values())
    if not followed or followed[0].leader is None or any(other != followed[0] for other in followed):
        return None
    return followed[0]


def last_lines(logs: Logs, count: int = 3) -> str:
    """Return the last lines of every node's latest incarnation, as evidence."""
    parts = []
    for node, texts in sorted(logs.items()):
        lines = (texts[-1] if texts else "").splitlines()[-count:]
        parts.append(f"{node}'s last lines: " + (" | ".join(lines) or "none"))
    return "; ".join(parts)


def acknowledged_writes(log: str) -> dict[str, str]:
    """Return key and value of every acknowledged write in a client's log."""
    events = read_events(log.splitlines())
    return {event["key"]: event["value"] for event in events if event["event"] == Event.WRITE_ACKNOWLEDGED}


def failover_ms(logs: Logs, since: str) -> int | None:
    """Return the milliseconds from a time (RFC 3339) to the next election of a leader; None if there was none."""
    began = parse_timestamp(since)
    elections = [event_time(event) for event in all_events(logs) if event["event"] == Event.BECAME_LEADER]
    later = [time for time in elections if time >= began]
    return round((min(later) - began) * 1000) if later else None


def merge_logs(
    collected: Mapping[str, Mapping[str, str]], readings: Iterable[Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """Return the collected texts by node and incarnation, updated with newer readings.

    A reading has `node`, `incarnation` and `text`; the text of one incarnation only grows.
    """
    merged = {node: dict(incarnations) for node, incarnations in collected.items()}
    for reading in readings:
        merged.setdefault(reading["node"], {})[reading["incarnation"]] = reading["text"]
    return merged


def logs_by_node(collected: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    """Return collected texts as the logs of a cluster."""
    return {node: list(incarnations.values()) for node, incarnations in collected.items()}
