"""Views of clusters, for tests of the nemesis."""

from typing import Any

from raft_testbed.nemesis.view import ClusterView, NodeView


def view(count: int = 5, leader_index: int | None = 0, **changes: Any) -> ClusterView:
    """Return a healthy cluster in term 3 that has applied entry 9. `changes` are set on its last node."""
    ids = [f"raft-{number}" for number in range(count)]
    name = "" if leader_index is None else ids[leader_index]
    nodes = [
        NodeView(
            node_id,
            f"process of {node_id}",
            "running",
            responsive=True,
            role="leader" if node_id == name else "follower",
            term=3,
            leader=name,
            voters=list(ids),
            commit_index=9,
            applied_index=9,
        )
        for node_id in ids
    ]
    for member, value in changes.items():
        setattr(nodes[-1], member, value)
    return ClusterView(nodes)
