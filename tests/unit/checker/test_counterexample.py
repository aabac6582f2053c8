"""The smallest part of a history that shows a violation: it is one by itself, and nothing in it can be spared."""

import re
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from raft_testbed.checker.judgement import Judgement, judge_history
from raft_testbed.checker.linearizability import Verdict, check_history
from raft_testbed.checker.models import changes_nothing
from raft_testbed.history import Operation, read_history
from tests.support.histories import Generator
from tests.unit.check.test_linearizability import exhaustive, random_history

HISTORIES = Path(__file__).parent / "histories"


def judge(name: str) -> Judgement:
    return judge_history(read_history((HISTORIES / f"{name}.jsonl").read_text().splitlines()))


def at_any_time(operations: list[Operation]) -> list[Operation]:
    return [replace(operation, invoked=0, outcome="info", completed=None) for operation in operations]


@pytest.mark.parametrize("seed", range(10))
def test_a_core_is_a_violation_whatever_the_others_did(seed: int) -> None:
    rng = Random(seed)
    found = 0
    for _ in range(100):
        history = random_history(rng)
        for violation in judge_history(history).violations:
            found += 1
            kept = violation.core.operations
            end = check_history(history).keys[0].unexplained
            assert end is not None
            assert end.completed is not None
            others = [o for o in history if o.process not in {k.process for k in kept} and o.invoked < end.completed]
            others = [o for o in others if o.outcome != "fail" and o.f != "read"]
            assert not exhaustive(at_any_time(others) + kept)
            for spared in kept:
                rest = [o for o in kept if o is not spared]
                freed = others if changes_nothing(spared) else [*others, spared]
                assert not rest or exhaustive(at_any_time(freed) + rest)
    assert found


@pytest.mark.parametrize("seed", range(3))
def test_of_thousands_of_operations_a_few_remain(seed: int) -> None:
    operations = Generator(seed, 3000, clients=8, keys=2).run()
    reads = [o for o in operations if o.f == "read" and o.outcome == "ok" and o.output is not None]
    stale = reads[-1]
    stale.output = next(o.output for o in reads if o.key == stale.key and o.output != stale.output)
    (violation,) = judge_history(operations).violations
    assert violation.core.is_minimal
    assert len(violation.core.operations) <= 6
    assert violation.core.report.verdict is Verdict.VIOLATION
    assert check_history(operations).verdict is Verdict.VIOLATION


def test_a_stale_read_is_told_with_both_writes() -> None:
    (violation,) = judge("stale-read").violations
    assert violation.summary == (
        "key 'x': process 1 read 'a' (0.004000 … 0.005000 s), and that can't be explained. "
        "In every order that explains the outcomes before it, the value could then only be 'b'."
    )
    assert violation.account == [
        "0.000000 … 0.001000 s: process 0 wrote 'a'",
        "0.002000 … 0.003000 s: process 0 wrote 'b'",
        "0.004000 … 0.005000 s: process 1 read 'a'",
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("value-of-nobody", "Nobody ever wrote that value."),
        ("value-from-the-future", "Nobody had begun to write that value; only later, process 0 did."),
        ("failed-write-seen", "Only process 1 was to write that value, and was told that it surely had failed."),
        ("double-append", "It contains 'b' 2 times, and that was appended once."),
        ("resurrected", "the value could then only be no such key."),
    ],
)
def test_the_reason_fits(name: str, reason: str) -> None:
    (violation,) = judge(name).violations
    assert violation.summary.endswith(reason)


def test_of_many_possible_values_a_few_are_told() -> None:
    """Three appends may have come in any order; the read has what only two of them give."""
    appends = [Operation(process, "append", "x", "abc"[process], process, "ok", process + 3) for process in range(3)]
    read = Operation(9, "read", "x", None, 10, "ok", 11, output="ab")
    (violation,) = judge_history([*appends, read]).violations
    told = violation.summary.partition("the value could then only be ")[2]
    assert len(told.split(" or ")) == 5
    assert re.fullmatch(r"one of \d+ more, and none of them fits\.", told.split(" or ")[-1])


def test_a_reduction_that_takes_too_long_says_that_it_is_not_minimal() -> None:
    operations = read_history((HISTORIES / "stale-read.jsonl").read_text().splitlines())
    ticks = iter(range(0, 10**6, 1000))
    judgement = judge_history(operations, clock=lambda: float(next(ticks)))
    assert [violation.core.is_minimal for violation in judgement.violations] == [False]
