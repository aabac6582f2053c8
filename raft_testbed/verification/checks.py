"""Checks of a verification: each has a name, a result and its evidence."""

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import NotRequired, TypedDict

from raft_pkg.events import Event
from raft_testbed.events import LogEvent, read_events
from raft_testbed.verdict.elections import election_safety_violations, leaders_by_term
from raft_testbed.verification.logs import (
    Logs,
    acknowledged_writes,
    agreed_leader,
    all_events,
    followed_leaders,
    last_lines,
    latest_leadership,
)


class Check(TypedDict):
    """The result of one check, as plain values that Ansible passes on."""

    name: str
    ok: bool
    evidence: str
    """What was observed, for people."""
    phase: NotRequired[str]
    """Phase of the verification that made the check."""
    seconds: NotRequired[float]
    """Duration of the phase, stated once, by its first check."""


def check(name: str, ok: object, evidence: str) -> Check:
    return {"name": name, "ok": bool(ok), "evidence": evidence}


def leadership_checks(logs: Logs, replicas: int, after_term: int = 0) -> list[Check]:
    """Check leaders and terms; `after_term` requires a leader in a later term.

    The logs must reach back to the start of the verification.
    """
    leaders = leaders_by_term(all_events(logs))
    latest = latest_leadership(logs)
    leaders_of_latest = leaders.get(latest.term, [])
    agreed = agreed_leader(logs)
    observed = ", ".join(f"term {term}: {' and '.join(nodes)}" for term, nodes in leaders.items()) or "no leader"
    followed = "; ".join(
        f"{node} follows {leadership.leader} in term {leadership.term}"
        for node, leadership in sorted(followed_leaders(logs).items())
    )
    checks = [
        check(
            "at most one leader in each term",
            not election_safety_violations(leaders),
            f"leaders in {len(logs)} logs: {observed}",
        ),
        check(
            "exactly one leader in the latest term",
            len(leaders_of_latest) == 1,
            f"term {latest.term}: {latest.leader}"
            if len(leaders_of_latest) == 1
            else f"expected one leader in term {latest.term}, saw {leaders_of_latest}; {last_lines(logs)}",
        ),
        check(
            "all nodes agree on the leader",
            agreed is not None
            and agreed.leader in leaders_of_latest
            and agreed.term == latest.term
            and len(logs) == replicas,
            followed or "no node logged an event",
        ),
    ]
    if after_term:
        evidence = f"before: term {after_term}; now: term {latest.term} with leader {latest.leader}"
        checks.append(check("a new leader in a later term", latest.term > after_term, evidence))
    return checks


def client_checks(log: str, outcome: str, expected: Mapping[str, str] | None = None) -> list[Check]:
    """Check a client's log and the outcome of its Pod or process.

    `expected` are keys and values of earlier writes that the client must have read.
    """
    by_name: dict[str, list[LogEvent]] = defaultdict(list)
    for event in read_events(log.splitlines()):
        by_name[event["event"]].append(event)
    found, finished = by_name[Event.LEADER_FOUND], by_name[Event.WORKLOAD_FINISHED]
    written = acknowledged_writes(log)
    verified = {event["key"]: event["value"] for event in by_name[Event.READ_VERIFIED]}
    tail = " | ".join(log.splitlines()[-3:]) or "an empty log"
    checks = [
        check(
            "the client found the leader",
            found,
            f"{found[-1]['leader']} at {found[-1]['address']}" if found else f"no leader_found in its log: {tail}",
        ),
        check(
            "the writes were acknowledged",
            written,
            f"{len(written)} keys, such as {min(written)}" if written else f"no write_acknowledged in its log: {tail}",
        ),
        _read_back_check(written, verified, by_name[Event.READ_MISMATCH]),
        check(
            "the client succeeded",
            outcome == "Succeeded" and finished and finished[-1]["failed"] == finished[-1]["unknown"] == 0,
            json.dumps(
                {"outcome": outcome, **{k: v for k, v in (finished or [{}])[-1].items() if k not in ("ts", "event")}}
            )
            + ("" if finished else f"; no workload_finished in its log: {tail}"),
        ),
    ]
    if expected is not None:
        checks.append(_earlier_writes_check(expected, verified, tail))
    return checks


def _read_back_check(written: Mapping[str, str], verified: Mapping[str, str], mismatches: list[LogEvent]) -> Check:
    missing = sorted(key for key, value in written.items() if verified.get(key) != value)
    evidence = f"{len(written) - len(missing)} of {len(written)} keys"
    if missing:
        evidence += f"; not read back: {', '.join(missing)}"
    for event in mismatches:
        evidence += f"; {event['key']} was {event['actual']!r} instead of {event['expected']!r}"
    return check("the written values were read back", written and not missing and not mismatches, evidence)


def _earlier_writes_check(expected: Mapping[str, str], verified: Mapping[str, str], tail: str) -> Check:
    lost = sorted(key for key, value in expected.items() if verified.get(key) != value)
    evidence = f"{len(expected) - len(lost)} of {len(expected)} keys"
    if lost:
        evidence += f"; lost: {', '.join(lost)}; its last lines: {tail}"
    if not expected:
        evidence += "; no earlier write was acknowledged, so the check shows nothing"
    return check("earlier writes are still readable", expected and not lost, evidence)
