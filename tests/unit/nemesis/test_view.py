"""Health of a cluster, and selectors of nodes."""

from random import Random
from typing import Any

import pytest

from raft_testbed.nemesis.errors import TargetError
from raft_testbed.nemesis.view import ClusterView, NodeView, add_status, choose_targets
from tests.unit.nemesis.clusters import view


@pytest.mark.parametrize(
    ("target", "count"),
    [
        ("leader", 1),
        ("follower", 1),
        ("random", 1),
        ("minority", 2),
        ("minority_with_leader", 2),
        ("majority", 3),
        ("all", 5),
    ],
)
def test_a_selector_chooses_the_number_and_role_in_its_name(target: str, count: int) -> None:
    for seed in range(20):
        chosen = choose_targets(target, view(), Random(seed))
        assert len(set(chosen)) == count
        if target in ("leader", "minority_with_leader"):
            assert "raft-0" in chosen
        if target == "follower":
            assert "raft-0" not in chosen


def test_a_nodes_name_is_a_selector() -> None:
    assert choose_targets("raft-3", view(), Random(1)) == ["raft-3"]


def test_the_same_seed_chooses_the_same_targets() -> None:
    assert [choose_targets("minority", view(), Random("7/3")) for _ in range(3)] == [
        choose_targets("minority", view(), Random("7/3"))
    ] * 3
    assert len({tuple(choose_targets("minority", view(), Random(seed))) for seed in range(50)}) > 5


@pytest.mark.parametrize(
    ("target", "cluster", "message"),
    [
        ("nobody", view(), "'nobody' is neither one of"),
        ("minority", view(1), "has no minority"),
        ("leader", view(3, None), "has no leader"),
    ],
)
def test_a_selector_without_targets_is_an_error(target: str, cluster: ClusterView, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        choose_targets(target, cluster, Random(1))


def test_a_cluster_is_healthy_if_all_nodes_follow_one_leader_vote_and_have_applied() -> None:
    assert view().unhealthy_reason(9) == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"responsive": False}, "raft-4 does not answer"),
        ({"leader": "raft-1"}, "the nodes do not all follow one leader"),
        ({"term": 4}, "the nodes do not all follow one leader"),
        ({"voters": ["raft-0"]}, "raft-4 knows other voters"),
        ({"applied_index": 8}, "raft-4 has not applied every entry up to 9"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_the_reason_names_the_unhealthy_node(changes: dict[str, Any], reason: str) -> None:
    assert view(**changes).unhealthy_reason(9).startswith(reason)


def test_the_leader_is_the_one_of_the_highest_term() -> None:
    """A partitioned leader still reports to lead its own term."""
    assert view(role="leader", term=2).leader == "raft-0"
    assert view(role="leader", term=4).leader == "raft-4"
    assert view(role="leader", term=4, responsive=False).leader == "raft-0"


def test_status_reports_complete_the_nodes_that_answered() -> None:
    report = {
        "id": "raft-0",
        "reachable": True,
        "role": "leader",
        "term": 3,
        "leader_id": "raft-0",
        "voters": ["raft-0", "raft-1"],
        "commit_index": 9,
        "applied_index": 8,
    }
    nodes = [NodeView("raft-0", "1", "running"), NodeView("raft-1", "2", "running")]
    found = add_status(nodes, [report, {"id": "raft-1", "reachable": False}])
    assert (found.leader, found.node("raft-0").applied_index) == ("raft-0", 8)
    assert not found.node("raft-1").responsive
