"""Bands of the timeline: which role a node had when, as its log shows."""

from pathlib import Path

from raft_testbed.report.role_intervals import Band, bands_of, leader_changes
from raft_testbed.verdict.directory import read_run
from tests.support.runs import START, fault, node_line, node_lines, ts, write_run


def told(bands: list[Band], node: str) -> list[tuple[float, float, str, int]]:
    """Times since the start."""
    return [
        (round(band.began - START, 3), round(band.ended - START, 3), band.role, band.term)
        for band in bands
        if band.node == node
    ]


def test_roles_and_terms_of_each_node(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    bands = bands_of(run)
    assert told(bands, "raft-0") == [
        (0.0, 5.0, "leader", 1),
        (5.0, 8.0, "down", 1),
        (8.0, 8.2, "starting", 1),
        (8.2, 8.3, "knows no leader", 1),
        (8.3, 20.0, "follower", 2),
    ]
    assert told(bands, "raft-1") == [
        (0.0, 5.2, "follower", 1),
        (5.2, 5.4, "candidate", 2),
        (5.4, 20.0, "leader", 2),
    ]


def test_a_node_that_dies_without_a_fault_is_down_after_its_last_line(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", faults=[fault(targets=["raft-2"])]))
    assert (0.0, 8.0, "down", 1) in told(bands_of(run), "raft-0")


def test_of_several_faults_the_last_one_ended_it(tmp_path: Path) -> None:
    """Found with etcd: a node that says little seemed dead from a fault on that it had borne well."""
    borne = fault(fault="loss", injected_at=ts(2.0), healed_at=ts(3.0), recovered_at=ts(3.1))
    run = read_run(write_run(tmp_path / "run", faults=[borne, fault()]))
    assert told(bands_of(run), "raft-0")[:2] == [(0.0, 5.0, "leader", 1), (5.0, 8.0, "down", 1)]


def test_a_node_that_stops_in_order_is_down(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-2"] = [*logs["raft-2"][:-1], node_line("raft-2", 15.0, "node_stopped", 2, reason="SIGTERM")]
    run = read_run(write_run(tmp_path / "run", logs=logs))
    assert told(bands_of(run), "raft-2")[-1] == (15.0, 20.0, "down", 2)


def test_a_node_that_joins_has_no_band_before(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-3"] = [node_line("raft-3", 12.0, "node_started", 0), node_line("raft-3", 12.5, "became_follower", 2)]
    run = read_run(write_run(tmp_path / "run", logs=logs, change=lambda run: run["nodes"].append("raft-3")))
    assert told(bands_of(run), "raft-3")[0][:3] == (12.0, 12.5, "starting")


def test_leader_changes_are_those_of_the_run(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    assert [(round(at - START, 3), node, term) for at, node, term in leader_changes(run)] == [(5.4, "raft-1", 2)]
    assert ts(0) == run.description["started"]
