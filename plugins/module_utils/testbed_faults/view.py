"""A cluster as it is seen at one moment, who of it is to suffer, and whether it is well."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

TARGETS = ("leader", "follower", "random", "minority", "minority_with_leader", "majority", "all")


class TargetError(Exception):
    """Nobody can be chosen. The message says why."""


@dataclass
class NodeView:
    """One node."""

    id: str
    process: str
    """What tells its process from a later one; empty when there is none."""
    state: str
    """running, paused, stopped, or what Kubernetes calls it."""
    answers: bool = False
    role: str = ""
    term: int = 0
    leader: str = ""
    voters: list[str] = field(default_factory=list)
    commit_index: int = 0
    applied_index: int = 0


@dataclass
class View:
    """All nodes."""

    nodes: list[NodeView]

    @property
    def ids(self) -> list[str]:
        return sorted(node.id for node in self.nodes)

    @property
    def term(self) -> int:
        return max((node.term for node in self.nodes), default=0)

    @property
    def leader(self) -> str:
        """Who says that it leads in the newest term that has a leader; empty where nobody does."""
        leaders = [node for node in self.nodes if node.answers and node.role == "leader"]
        return max(leaders, key=lambda node: node.term).id if leaders else ""

    def node(self, node_id: str) -> NodeView:
        return next(node for node in self.nodes if node.id == node_id)

    def others(self, node_ids: list[str]) -> list[str]:
        return [node_id for node_id in self.ids if node_id not in node_ids]

    def describe(self) -> str:
        return "; ".join(
            f"{node.id} is {node.state}, "
            + (f"{node.role} in term {node.term}, follows {node.leader or 'nobody'}" if node.answers else "silent")
            for node in self.nodes
        )

    def pending(self, commit_index: int) -> str:
        """What is still missing until all is well, everything up to an index being applied; empty: nothing."""
        silent = [node.id for node in self.nodes if not node.answers]
        if silent:
            return f"{', '.join(silent)} does not answer"
        if not self.leader or any((node.leader, node.term) != (self.leader, self.term) for node in self.nodes):
            return "not all follow one leader"
        outside = [node.id for node in self.nodes if sorted(node.voters) != self.ids]
        if outside:
            return f"{', '.join(outside)} knows other voters than {', '.join(self.ids)}"
        behind = [node.id for node in self.nodes if node.applied_index < commit_index]
        if behind:
            return f"{', '.join(behind)} has not applied everything up to {commit_index}"
        return ""


def choose_targets(target: str, view: View, rng: Random) -> list[str]:
    """Who suffers. The same rng chooses the same among the same nodes and roles.

    Raises `TargetError`.
    """
    ids, leader = view.ids, view.leader
    followers = [node_id for node_id in ids if node_id != leader]
    minority = (len(ids) - 1) // 2
    if target in ids:
        return [target]
    if target not in TARGETS:
        raise TargetError(f"target {target!r} is neither one of {', '.join(TARGETS)} nor a node ({', '.join(ids)})")
    if not leader and target in ("leader", "follower", "minority_with_leader"):
        raise TargetError(f"there is no leader: {view.describe()}")
    if not minority and target in ("follower", "minority", "minority_with_leader"):
        raise TargetError(f"{len(ids)} node(s) have no {target}")
    chosen = {
        "leader": lambda: [leader],
        "follower": lambda: [rng.choice(followers)],
        "random": lambda: [rng.choice(ids)],
        "minority": lambda: rng.sample(ids, minority),
        "minority_with_leader": lambda: [leader, *rng.sample(followers, minority - 1)],
        "majority": lambda: rng.sample(ids, len(ids) // 2 + 1),
        "all": lambda: ids,
    }
    return sorted(chosen[target]())


def view_from_status(nodes: list[NodeView], status: dict[str, Any]) -> View:
    """Nodes, completed with what `raftctl status --json` says of those that answer."""
    answers = {answer["id"]: answer for answer in status.get("nodes", []) if answer.get("reachable")}
    for node in nodes:
        answer = answers.get(node.id)
        if answer is not None:
            node.answers = True
            node.role, node.term, node.leader = answer["role"], answer["term"], answer["leader_id"] or ""
            node.voters = list(answer["voters"])
            node.commit_index, node.applied_index = answer["commit_index"], answer["applied_index"]
    return View(nodes)


def system_name(record: dict[str, Any]) -> str:
    """Which Raft site.yml recorded that it deployed."""
    return str(record.get("system", {}).get("name", "raft_pkg"))


def events_since(text: str, since: float) -> list[dict[str, Any]]:
    """The events of a node's log from a time on (seconds since 1970); lines that are none are left out."""
    events = []
    for line in text.splitlines():
        try:
            event = json.loads(line)
            if datetime.fromisoformat(event["ts"]).timestamp() >= since:
                events.append(event)
        except (ValueError, KeyError, TypeError):
            continue
    return events
