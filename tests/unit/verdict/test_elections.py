"""Election Safety, as logs show it."""

from raft_testbed.verdict.elections import election_safety_violations, leaders_by_term
from tests.support.runs import node_line


def test_leaders_are_grouped_by_term_and_sorted() -> None:
    events = [
        node_line("raft-2", 3, "became_leader", 2),
        node_line("raft-1", 4, "became_leader", 2),
        node_line("raft-0", 1, "became_leader", 1),
        node_line("raft-0", 5, "became_leader", 1),
        node_line("raft-1", 6, "leader_changed", 3, leader="raft-0"),
    ]
    leaders = leaders_by_term(events)
    assert list(leaders.items()) == [(1, ["raft-0"]), (2, ["raft-1", "raft-2"])]
    assert election_safety_violations(leaders) == ["term 2 has 2 leaders: raft-1, raft-2"]


def test_one_leader_in_each_term_is_safe() -> None:
    assert election_safety_violations({1: ["raft-0"], 2: ["raft-0"], 3: ["raft-1"]}) == []
