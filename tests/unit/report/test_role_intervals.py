"""Role intervals: which role and term a node had when, from its log."""

from pathlib import Path

from raft_testbed.report.role_intervals import RoleInterval, leader_changes, role_intervals
from raft_testbed.verdict.directory import read_run
from tests.support.runs import START, fault, node_line, node_lines, ts, write_run


def of_node(intervals: list[RoleInterval], node: str) -> list[tuple[float, float, str, int]]:
    """Return start and end (seconds since the run started), role and term of each interval."""
    return [
        (round(interval.began - START, 3), round(interval.ended - START, 3), interval.role, interval.term)
        for interval in intervals
        if interval.node == node
    ]


def test_roles_and_terms_of_each_node(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    intervals = role_intervals(run)
    assert of_node(intervals, "raft-0") == [
        (0.0, 5.0, "leader", 1),
        (5.0, 8.0, "down", 1),
        (8.0, 8.2, "starting", 1),
        (8.2, 8.3, "no known leader", 1),
        (8.3, 20.0, "follower", 2),
    ]
    assert of_node(intervals, "raft-1") == [
        (0.0, 5.2, "follower", 1),
        (5.2, 5.4, "candidate", 2),
        (5.4, 20.0, "leader", 2),
    ]


def test_a_node_that_dies_without_a_fault_is_down_from_its_last_line(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", faults=[fault(targets=["raft-2"])]))
    assert (0.0, 8.0, "down", 1) in of_node(role_intervals(run), "raft-0")


def test_the_last_of_several_faults_ends_an_incarnation(tmp_path: Path) -> None:
    """Regression, found with etcd: a node with few log lines was shown as down from a fault that it survived."""
    survived = fault(fault="loss", injected_at=ts(2.0), healed_at=ts(3.0), recovered_at=ts(3.1))
    run = read_run(write_run(tmp_path / "run", faults=[survived, fault()]))
    assert of_node(role_intervals(run), "raft-0")[:2] == [(0.0, 5.0, "leader", 1), (5.0, 8.0, "down", 1)]


def test_a_node_that_logs_its_stop_is_down(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-2"] = [*logs["raft-2"][:-1], node_line("raft-2", 15.0, "node_stopped", 2, reason="SIGTERM")]
    run = read_run(write_run(tmp_path / "run", logs=logs))
    assert of_node(role_intervals(run), "raft-2")[-1] == (15.0, 20.0, "down", 2)


def test_a_node_that_joins_has_no_earlier_interval(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-3"] = [node_line("raft-3", 12.0, "node_started", 0), node_line("raft-3", 12.5, "became_follower", 2)]
    run = read_run(write_run(tmp_path / "run", logs=logs, change=lambda run: run["nodes"].append("raft-3")))
    assert of_node(role_intervals(run), "raft-3")[0][:3] == (12.0, 12.5, "starting")


def test_leader_changes_before_the_run_are_left_out(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    assert [(round(at - START, 3), node, term) for at, node, term in leader_changes(run)] == [(5.4, "raft-1", 2)]
    assert ts(0) == run.description["started"]
