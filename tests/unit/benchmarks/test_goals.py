"""Targets compared with measurements, and statistics over rounds."""

import json

import pytest

from raft_testbed.checker.linearizability import check_history
from raft_testbed.history import read_history
from tests.benchmarks.goals import rows
from tests.benchmarks.parts.failover import longest_gap_ms
from tests.benchmarks.parts.tools import linearizable_history
from tests.benchmarks.spread import Spread, ratios, rounded


def put(system, round_number, per_second, outstanding=256):
    numbers = {"per_second": per_second, "p50_ms": 2.0, "p99_ms": 8.0}
    return {
        "part": "writes",
        "system": system,
        "round": round_number,
        "mix": "put",
        "outstanding": outstanding,
        **numbers,
    }


def kill(system, milliseconds):
    return {"part": "failover", "system": system, "round": 1, "what": "kill", "milliseconds": milliseconds}


def row(records, what):
    (found,) = [each for each in rows(records) if what in each.what]
    return found


@pytest.mark.parametrize(("ours", "met"), [((70, 60, 50), True), ((70, 59, 50), False)])
def test_the_median_of_ratios_within_rounds_decides(ours, met):
    records = [put("raft_pkg", number, value * 1_000) for number, value in enumerate(ours, 1)]
    records += [put("etcd", number, 10_000) for number in (1, 2, 3)]
    found = row(records, "256 outstanding, over etcd")
    assert found.met is met
    assert found.target == "at least 6 times"
    assert found.measured == f"{ours[1] / 10:.2f} (5.00 … 7.00)"


def test_a_target_without_measurement_has_no_row():
    assert rows([]) == []
    assert (
        rows([put("etcd", 1, 10_000), {"part": "writes", "system": "raft_pkg", "round": 0, "not_measured": "why"}])
        == []
    )


def test_ratios_use_common_rounds_only():
    assert ratios({1: 10.0, 2: 30.0}, {2: 10.0, 3: 5.0}) == [3.0]


def test_latency_is_judged_by_p99_over_p50():
    assert row([put("raft_pkg", 1, 1_000)], "p99 over p50").met is True


def test_failover_targets_are_median_worst_case_and_other_systems():
    records = [kill("raft_pkg", ms) | {"round": n} for n, ms in enumerate((200, 210, 600), 1)]
    records += [kill("etcd", 205)]
    assert row(records, "median of 3").met is True
    assert row(records, "the worst of 3").met is False
    assert row(records, "the same of etcd").met is False


@pytest.mark.parametrize(("syncs", "met"), [(200, True), (199, False)])
def test_two_syncs_for_each_write_are_required(syncs, met):
    record = {"part": "durability", "system": "raft_pkg", "round": 1, "acknowledged": 100, "syncs": syncs}
    assert row([record], "syncs on three nodes").met is met


def test_pysyncobj_has_no_durability_target():
    record = {"part": "durability", "system": "PySyncObj", "round": 1, "acknowledged": 100, "syncs": 0}
    assert row([record], "syncs on three nodes").met is None


def test_the_longest_gap_includes_both_ends_of_the_window():
    million = 1_000_000
    probed = [(0, moment * million) for moment in (1, 12, 13, 30)]
    assert longest_gap_ms(probed, 10 * million, 20 * million) == 7
    assert longest_gap_ms([], 0, 5 * million) == 5


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (0.1234, "0.12"), (12.34, "12.3"), (1234.5, "1,234")])
def test_numbers_have_three_significant_digits(number, text):
    assert rounded(number) == text


def test_a_spread_shows_median_minimum_and_maximum():
    assert str(Spread.of([3.0, 1.0, 2.0])) == "2.00 (1.00 … 3.00)"
    assert str(Spread.of([2.0])) == "2.00"


def test_the_history_for_the_checker_is_linearizable_and_has_the_requested_length():
    operations = read_history(json.dumps(line) for line in linearizable_history(400))
    assert len(operations) == 400
    assert check_history(operations).verdict == "ok"
