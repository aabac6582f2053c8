"""Filters that judge a cluster by what its nodes and clients logged; the log contract is in raft_pkg/events.py.

They read fields, never prose, and pass over lines that are no JSON object: libraries below Python write such. They
import nothing of the package under test, since another Raft may be under test.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

Event = dict[str, Any]
Logs = dict[str, list[str]]  # by node: what each of its incarnations logged, the oldest first
Check = dict[str, Any]


def log_events(text: str) -> list[Event]:
    """The events of one log, in order."""
    events = []
    for line in text.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            events.append(event)
    return events


def leaders_by_term(logs: Logs) -> dict[int, list[str]]:
    """Who became leader in each term, in any log."""
    leaders: dict[int, set[str]] = {}
    for texts in logs.values():
        for text in texts:
            for event in log_events(text):
                if event["event"] == "became_leader":
                    leaders.setdefault(event["term"], set()).add(event["node"])
    return {term: sorted(nodes) for term, nodes in sorted(leaders.items())}


def newest_leadership(logs: Logs) -> dict[str, Any]:
    """The leader of the newest term that has one; term 0 and null when none was ever elected."""
    leaders = leaders_by_term(logs)
    if not leaders:
        return {"term": 0, "leader": None}
    term = max(leaders)
    return {"term": term, "leader": leaders[term][0]}


def followed_leaders(logs: Logs) -> dict[str, dict[str, Any]]:
    """Whom each node's newest incarnation follows, in which term."""
    followed: dict[str, dict[str, Any]] = {}
    for node, texts in logs.items():
        followed[node] = {"term": 0, "leader": None}
        for event in log_events(texts[-1] if texts else ""):
            if event["event"] == "node_started":
                followed[node] = {"term": 0, "leader": None}
            if event["event"] == "leader_changed":
                followed[node] = {"term": event["term"], "leader": event["leader"]}
    return followed


def agreed_leader(logs: Logs) -> dict[str, Any] | None:
    """The leader and term that every node's newest incarnation names; null while they differ."""
    followed = list(followed_leaders(logs).values())
    if not followed or followed[0]["leader"] is None or any(other != followed[0] for other in followed):
        return None
    return followed[0]


def last_lines(logs: Logs, count: int = 3) -> str:
    """The newest lines of every node, for evidence."""
    parts = []
    for node, texts in sorted(logs.items()):
        lines = (texts[-1] if texts else "").splitlines()[-count:]
        parts.append(f"{node}'s last lines: " + (" | ".join(lines) or "none"))
    return "; ".join(parts)


def check(name: str, ok: bool, evidence: str) -> Check:
    return {"name": name, "ok": bool(ok), "evidence": evidence}


def leadership_checks(logs: Logs, replicas: int, after_term: int = 0) -> list[Check]:
    """What must hold of leaders, in logs that reach back to the beginning of the verification."""
    leaders = leaders_by_term(logs)
    newest = newest_leadership(logs)
    several = {term: nodes for term, nodes in leaders.items() if len(nodes) > 1}
    of_newest = leaders.get(newest["term"], [])
    followed = followed_leaders(logs)
    agreed = agreed_leader(logs)
    seen = ", ".join(f"term {term}: {' and '.join(nodes)}" for term, nodes in leaders.items()) or "no leader in any log"
    checks = [
        check("at most one leader in every term", not several, f"leaders seen in {len(logs)} logs: {seen}"),
        check(
            "exactly one leader in the newest term",
            len(of_newest) == 1,
            f"term {newest['term']}: {', '.join(of_newest) or 'no leader'}"
            if len(of_newest) == 1
            else f"expected one leader in term {newest['term']}, saw {of_newest}; {last_lines(logs)}",
        ),
        check(
            "all nodes agree on the leader",
            agreed is not None
            and agreed["leader"] in of_newest
            and agreed["term"] == newest["term"]
            and len(logs) == replicas,
            "; ".join(
                f"{node} follows {what['leader']} in term {what['term']}" for node, what in sorted(followed.items())
            )
            or "no node logged anything",
        ),
    ]
    if after_term:
        checks.append(
            check(
                "a new leader in a later term",
                newest["term"] > after_term,
                f"term {after_term} before, term {newest['term']} with leader {newest['leader']} now",
            )
        )
    return checks


def client_checks(log: str, outcome: str, expected: dict[str, str] | None = None) -> list[Check]:
    """What a client must have seen and done; expected are keys written before, that it had to find."""
    events = log_events(log)
    by_name: dict[str, list[Event]] = {}
    for event in events:
        by_name.setdefault(event["event"], []).append(event)
    found = by_name.get("leader_found", [])
    written = {event["key"]: event["value"] for event in by_name.get("write_acknowledged", [])}
    verified = {event["key"]: event["value"] for event in by_name.get("read_verified", [])}
    mismatches = by_name.get("read_mismatch", [])
    finished = by_name.get("workload_finished", [])
    tail = " | ".join(log.splitlines()[-3:]) or "an empty log"
    not_read = sorted(key for key, value in written.items() if verified.get(key) != value)
    checks = [
        check(
            "the client found the leader",
            bool(found),
            f"{found[-1]['leader']} at {found[-1]['address']}" if found else f"no leader_found in its log: {tail}",
        ),
        check(
            "its writes were acknowledged",
            bool(written),
            f"{len(written)} keys, such as {min(written)}" if written else f"no write_acknowledged in its log: {tail}",
        ),
        check(
            "what it wrote was read back",
            bool(written) and not not_read and not mismatches,
            f"{len(written) - len(not_read)} of {len(written)} keys"
            + (f"; not read back: {', '.join(not_read)}" if not_read else "")
            + "".join(
                f"; {event['key']} was {event['actual']!r} instead of {event['expected']!r}" for event in mismatches
            ),
        ),
        check(
            "it ended well",
            outcome == "Succeeded" and bool(finished) and finished[-1]["failed"] == finished[-1]["unknown"] == 0,
            json.dumps(
                {"outcome": outcome, **{k: v for k, v in (finished or [{}])[-1].items() if k not in ("ts", "event")}}
            )
            + ("" if finished else f"; no workload_finished in its log: {tail}"),
        ),
    ]
    if expected is not None:
        lost = sorted(key for key, value in expected.items() if verified.get(key) != value)
        checks.append(
            check(
                "earlier writes are still there",
                bool(expected) and not lost,
                f"{len(expected) - len(lost)} of {len(expected)} keys"
                + (f"; lost: {', '.join(lost)}; its last lines: {tail}" if lost else "")
                + ("" if expected else "; no earlier write was acknowledged, so there is nothing to find"),
            )
        )
    return checks


def acknowledged_writes(log: str) -> dict[str, str]:
    """Keys and values of every acknowledged write of a client."""
    return {event["key"]: event["value"] for event in log_events(log) if event["event"] == "write_acknowledged"}


def merge_logs(collected: dict[str, dict[str, str]], new: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    """What was collected so far, by node and incarnation, and newer readings, which hold all of the older."""
    merged = {node: dict(incarnations) for node, incarnations in collected.items()}
    for reading in new:
        merged.setdefault(reading["node"], {})[reading["incarnation"]] = reading["text"]
    return merged


def logs_by_node(collected: dict[str, dict[str, str]]) -> Logs:
    return {node: list(incarnations.values()) for node, incarnations in collected.items()}


def followed_term(log: str) -> int:
    """The newest term in which this log's node follows a leader; 0 while it knows none."""
    followed = followed_leaders({"node": [log]})["node"]
    return followed["term"] if followed["leader"] else 0


def failover_ms(logs: Logs, since: str) -> int | None:
    """Milliseconds from a time (RFC 3339) to the next became_leader; null where none came."""
    begin = datetime.fromisoformat(since)
    times = [
        datetime.fromisoformat(event["ts"])
        for texts in logs.values()
        for text in texts
        for event in log_events(text)
        if event["event"] == "became_leader"
    ]
    later = [time for time in times if time >= begin]
    return round((min(later) - begin).total_seconds() * 1000) if later else None


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {
            "leaders_by_term": leaders_by_term,
            "newest_leadership": newest_leadership,
            "agreed_leader": agreed_leader,
            "leadership_checks": leadership_checks,
            "client_checks": client_checks,
            "acknowledged_writes": acknowledged_writes,
            "merge_logs": merge_logs,
            "logs_by_node": logs_by_node,
            "followed_term": followed_term,
            "failover_ms": failover_ms,
        }
