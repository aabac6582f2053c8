"""The state of a cluster at one moment: its nodes, whether it is healthy, and which nodes a selector chooses."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from raft_testbed.nemesis.errors import TargetError

TARGETS = ("leader", "follower", "random", "minority", "minority_with_leader", "majority", "all")
"""Selectors of nodes. A node's own name is a selector as well."""


@dataclass
class NodeView:
    """One node."""

    id: str
    process: str
    """Identity of the process, different in each incarnation; empty: no process."""
    state: str
    """`running`, `paused`, `stopped`, or a state of a Kubernetes container."""
    responsive: bool = False
    """Whether the node answered a status request; the members below are valid only then."""
    role: str = ""
    term: int = 0
    leader: str = ""
    voters: list[str] = field(default_factory=list)
    commit_index: int = 0
    applied_index: int = 0


@dataclass
class ClusterView:
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
        """The node that reports to lead in the highest term; empty if no node does."""
        leaders = [node for node in self.nodes if node.responsive and node.role == "leader"]
        return max(leaders, key=lambda node: node.term).id if leaders else ""

    def node(self, node_id: str) -> NodeView:
        return next(node for node in self.nodes if node.id == node_id)

    def others(self, node_ids: list[str]) -> list[str]:
        """Return all nodes but these."""
        return [node_id for node_id in self.ids if node_id not in node_ids]

    def describe(self) -> str:
        """Return one line about every node, for messages."""
        return "; ".join(
            f"{node.id} is {node.state}, "
            + (
                f"{node.role} in term {node.term}, follows {node.leader or 'no leader'}"
                if node.responsive
                else "unresponsive"
            )
            for node in self.nodes
        )

    def unhealthy_reason(self, commit_index: int) -> str:
        """Return why the cluster is not healthy; empty: it is.

        A cluster is healthy if all nodes follow one leader, all of them are voters, and each has applied every entry
        up to `commit_index`.
        """
        unresponsive = [node.id for node in self.nodes if not node.responsive]
        if unresponsive:
            return f"{', '.join(unresponsive)} does not answer"
        if not self.leader or any((node.leader, node.term) != (self.leader, self.term) for node in self.nodes):
            return "the nodes do not all follow one leader"
        outside = [node.id for node in self.nodes if sorted(node.voters) != self.ids]
        if outside:
            return f"{', '.join(outside)} knows other voters than {', '.join(self.ids)}"
        behind = [node.id for node in self.nodes if node.applied_index < commit_index]
        if behind:
            return f"{', '.join(behind)} has not applied every entry up to {commit_index}"
        return ""


def choose_targets(target: str, view: ClusterView, rng: Random) -> list[str]:
    """Return the nodes that a selector chooses, sorted.

    The same rng chooses the same nodes among the same nodes and roles. Raise `TargetError` if there are none.
    """
    ids, leader = view.ids, view.leader
    followers = [node_id for node_id in ids if node_id != leader]
    minority = (len(ids) - 1) // 2
    if target in ids:
        return [target]
    if target not in TARGETS:
        raise TargetError(f"target {target!r} is neither one of {', '.join(TARGETS)} nor a node ({', '.join(ids)})")
    if not leader and target in ("leader", "follower", "minority_with_leader"):
        raise TargetError(f"the cluster has no leader: {view.describe()}")
    if not minority and target in ("follower", "minority", "minority_with_leader"):
        raise TargetError(f"a cluster of {len(ids)} node(s) has no {target}")
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


def add_status(nodes: list[NodeView], reports: list[dict[str, Any]]) -> ClusterView:
    """Return a view of the nodes, completed with the status reports of those that answered.

    `reports` are the nodes' objects of `raftctl status --json`.
    """
    answered = {report["id"]: report for report in reports if report.get("reachable")}
    for node in nodes:
        report = answered.get(node.id)
        if report is not None:
            node.responsive = True
            node.role, node.term, node.leader = report["role"], report["term"], report["leader_id"] or ""
            node.voters = list(report["voters"])
            node.commit_index, node.applied_index = report["commit_index"], report["applied_index"]
    return ClusterView(nodes)
