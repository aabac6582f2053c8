"""Reduction and explanation of violations: a counterexample is a violation by itself, and minimal."""

import re
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from raft_testbed.checker.explained_finding import ExplainedFinding, judge_history
from raft_testbed.checker.linearizability import Verdict, check_history
from raft_testbed.checker.models import is_read_only
from raft_testbed.history import Operation, read_history
from tests.support.histories import Generator
from tests.unit.checker.test_linearizability import exhaustive, random_history

HISTORIES = Path(__file__).parent / "histories"


def judge(name: str) -> ExplainedFinding:
    return judge_history(read_history((HISTORIES / f"{name}.jsonl").read_text().splitlines()))


def unconstrained(operations: list[Operation]) -> list[Operation]:
    return [replace(operation, invoked=0, outcome="info", completed=None) for operation in operations]


@pytest.mark.parametrize("seed", range(10))
def test_a_counterexample_is_a_violation_whatever_the_other_operations_did(seed: int) -> None:
    rng = Random(seed)
    found = 0
    for _ in range(100):
        history = random_history(rng)
        for violation in judge_history(history).violations:
            found += 1
            kept = violation.counterexample.operations
            end = check_history(history).keys[0].unexplained
            assert end is not None
            assert end.completed is not None
            others = [o for o in history if o.process not in {k.process for k in kept} and o.invoked < end.completed]
            others = [o for o in others if o.outcome != "fail" and o.f != "read"]
            assert not exhaustive(unconstrained(others) + kept)
            for spared in kept:
                rest = [o for o in kept if o is not spared]
                given_up = others if is_read_only(spared) else [*others, spared]
                assert not rest or exhaustive(unconstrained(given_up) + rest)
    assert found


@pytest.mark.parametrize("seed", range(3))
def test_thousands_of_operations_are_reduced_to_a_few(seed: int) -> None:
    operations = Generator(seed, 3000, clients=8, keys=2).run()
    reads = [o for o in operations if o.f == "read" and o.outcome == "ok" and o.output is not None]
    stale = reads[-1]
    stale.output = next(o.output for o in reads if o.key == stale.key and o.output != stale.output)
    (violation,) = judge_history(operations, clock=lambda: 0.0).violations
    assert violation.counterexample.is_minimal
    assert len(violation.counterexample.operations) <= 6
    assert violation.counterexample.finding.verdict is Verdict.VIOLATION
    assert check_history(operations).verdict is Verdict.VIOLATION


def test_a_stale_read_is_explained_by_both_writes() -> None:
    (violation,) = judge("stale-read").violations
    assert violation.summary == (
        "key 'x': process 1 read 'a' (0.004000 … 0.005000 s), which no linearization explains. "
        "In every order that explains the earlier outcomes, the value at that time is 'b'."
    )
    assert violation.explanation == [
        "0.000000 … 0.001000 s: process 0 wrote 'a'",
        "0.002000 … 0.003000 s: process 0 wrote 'b'",
        "0.004000 … 0.005000 s: process 1 read 'a'",
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("value-never-written", "No process ever wrote that value."),
        ("value-from-the-future", "No write of that value had been called; process 0 called one later."),
        ("failed-write-read", "The only write of that value, by process 1, failed."),
        ("double-append", "The value contains 'b' 2 times, but it was appended once."),
        ("resurrected", "the value at that time is absent."),
    ],
)
def test_the_summary_ends_with_the_reason(name: str, reason: str) -> None:
    (violation,) = judge(name).violations
    assert violation.summary.endswith(reason)


def test_only_some_of_many_possible_values_are_listed() -> None:
    """Three appends may take effect in any order; the read returns the effect of two of them."""
    appends = [Operation(process, "append", "x", "abc"[process], process, "ok", process + 3) for process in range(3)]
    read = Operation(9, "read", "x", None, 10, "ok", 11, output="ab")
    (violation,) = judge_history([*appends, read]).violations
    listed = violation.summary.partition("the value at that time is ")[2]
    assert len(listed.split(" or ")) == 5
    assert re.fullmatch(r"one of \d+ more, none of which fits\.", listed.split(" or ")[-1])


def test_a_reduction_that_runs_out_of_time_is_not_minimal() -> None:
    operations = read_history((HISTORIES / "stale-read.jsonl").read_text().splitlines())
    ticks = iter(range(0, 10**6, 1000))
    finding = judge_history(operations, clock=lambda: float(next(ticks)))
    assert [violation.counterexample.is_minimal for violation in finding.violations] == [False]
