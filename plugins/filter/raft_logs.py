"""Filters over the logs of a cluster and its clients; see `raft_testbed.verification`."""

from __future__ import annotations

from typing import Any

from raft_testbed.verification import checks, logs


def latest_leadership(texts: logs.Logs) -> dict[str, Any]:
    """Return leader and term of the latest term that has a leader; term 0 and null if there is none."""
    return logs.latest_leadership(texts).to_json()


def agreed_leader(texts: logs.Logs) -> dict[str, Any] | None:
    """Return the leader and term that every node's latest incarnation follows; null if they disagree."""
    agreed = logs.agreed_leader(texts)
    return None if agreed is None else agreed.to_json()


def followed_term(log: str) -> int:
    """Return the term in which a log's node follows a leader; 0 if it follows none."""
    followed = logs.followed_leader(log)
    return followed.term if followed.leader else 0


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {
            "latest_leadership": latest_leadership,
            "agreed_leader": agreed_leader,
            "leadership_checks": checks.leadership_checks,
            "client_checks": checks.client_checks,
            "acknowledged_writes": logs.acknowledged_writes,
            "merge_logs": logs.merge_logs,
            "logs_by_node": logs.logs_by_node,
            "followed_term": followed_term,
            "failover_ms": logs.failover_ms,
        }
