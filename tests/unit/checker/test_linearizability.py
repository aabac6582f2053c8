"""The checker, compared with known verdicts and with an exhaustive search."""

import json
from itertools import count
from pathlib import Path
from random import Random

import pytest

from raft_testbed.checker.linearizability import Verdict, check_history
from raft_testbed.checker.models import ABSENT, Impossible, State, transition_of
from raft_testbed.history import MISMATCH, Operation, read_history
from tests.support.histories import Generator


def op(f, value=None, *, at, output=None, outcome="ok", process=0, key="x", error=None):
    invoked, completed = at
    return Operation(process, f, key, value, invoked, outcome, None if outcome == "info" else completed, output, error)


def exhaustive(operations: list[Operation]) -> bool:
    """Return whether some order of effects explains every outcome: a slow, simple reference."""
    definite = [o for o in operations if o.outcome == "ok" or o.claims_mismatch]
    optional = [o for o in operations if o.outcome == "info" and o.f != "read"]

    def search(left: list[Operation], state: State) -> bool:
        if not any(o in definite for o in left):
            return True
        soonest = min(o.completed for o in left if o.completed is not None)
        for operation in left:
            if operation.invoked < soonest:
                following = transition_of(operation)(state)
                rest = [o for o in left if o is not operation]
                if not isinstance(following, Impossible) and search(rest, following):
                    return True
        return False

    return search(definite + optional, ABSENT)


def random_history(rng: Random) -> list[Operation]:
    """Return a history of a few clients on one register, most of them linearizable; every written value is unique."""
    state: State = None
    position = count()
    operations: list[Operation] = []
    pending: list[Operation] = []
    for number in range(rng.randint(2, 11)):
        f = rng.choice(("read", "write", "append", "cas", "delete"))
        observed = rng.choice([o.output for o in operations] + [state, None])
        value = {"read": None, "delete": None, "cas": [observed, f"{number};"]}.get(f, f"{number};")
        operation = Operation(number, f, "x", value, next(position))
        operations.append(operation)
        pending.append(operation)
        while pending and rng.random() < 0.6:
            done = pending.pop(rng.randrange(len(pending)))
            following = transition_of(done)(state) if done.f != "read" else state
            if rng.random() < 0.35:
                if rng.random() < 0.5 and not isinstance(following, Impossible):
                    state = following
                continue
            done.completed = next(position)
            if isinstance(following, Impossible):
                done.outcome, done.error = "fail", MISMATCH
                continue
            state, done.outcome = following, "ok"
            if done.f == "read":
                done.output = state if rng.random() < 0.85 else rng.choice([o.output for o in operations])
    return operations


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_exhaustive_search(seed: int) -> None:
    rng = Random(seed)
    verdicts = set()
    for _ in range(100):
        history = random_history(rng)
        expected = Verdict.OK if exhaustive(history) else Verdict.VIOLATION
        finding = check_history(history)
        assert finding.verdict is expected, "\n".join([str(finding.keys), *map(str, history)])
        verdicts.add(expected)
    assert Verdict.OK in verdicts


HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.jsonl"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_known_histories(path: Path) -> None:
    """The first line of each file describes it and states its verdict."""
    lines = path.read_text().splitlines()
    assert check_history(read_history(lines)).verdict == json.loads(lines[0])["verdict"]


@pytest.mark.parametrize("unknown_share", [0.0, 0.01, 0.1])
def test_a_history_of_a_register_is_linearizable(unknown_share: float) -> None:
    assert check_history(Generator(7, 5000, 16, 20, unknown_share).run()).verdict is Verdict.OK


@pytest.mark.parametrize("seed", range(5))
def test_one_stale_read_is_found_among_thousands_of_operations(seed: int) -> None:
    operations = Generator(seed, 5000, clients=8, keys=3).run()
    reads = [o for o in operations if o.f == "read" and o.outcome == "ok" and o.output is not None]
    stale = reads[len(reads) // 2]
    earlier = next(o for o in reads if o.key == stale.key and o.output != stale.output)
    stale.output = earlier.output
    finding = check_history(operations)
    assert [key.verdict for key in finding.keys if key.key == stale.key] == [Verdict.VIOLATION]


def test_a_search_that_reaches_a_limit_is_unknown_and_names_the_limit() -> None:
    hard = Generator(1, 2000, clients=16, keys=1, unknown_share=0.3).run()
    by_count = check_history(hard, search_states_max=100)
    by_time = check_history(hard, seconds_max=1.0, clock=count(0.0, 0.5).__next__)
    by_memory = check_history(hard, memory_mb_max=1.0)
    for finding, limit in ((by_count, "search states"), (by_time, "time"), (by_memory, "memory")):
        assert finding.verdict is Verdict.UNKNOWN
        assert [key.limit for key in finding.keys] == [limit]
