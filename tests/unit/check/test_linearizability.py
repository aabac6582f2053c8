"""The judge of histories, against histories with known verdicts and against an exhaustive search."""

from itertools import count
from random import Random

import pytest

from raft_pkg.check.history import MISMATCH, Operation
from raft_pkg.check.linearizability import Verdict, check_history
from raft_pkg.check.models import ABSENT, Impossible, State, step_of


def op(f, value=None, *, at, output=None, outcome="ok", process=0, key="x", error=None):
    invoked, completed = at
    return Operation(process, f, key, value, invoked, outcome, None if outcome == "info" else completed, output, error)


def exhaustive(operations: list[Operation]) -> bool:
    """Try every order: slow, and too simple to be wrong."""
    definite = [o for o in operations if o.outcome == "ok" or o.claims_mismatch]
    optional = [o for o in operations if o.outcome == "info" and o.f != "read"]

    def search(left: list[Operation], state: State) -> bool:
        if not any(o in definite for o in left):
            return True
        soonest = min(o.completed for o in left if o.completed is not None)
        for operation in left:
            if operation.invoked < soonest:
                following = step_of(operation)(state)
                rest = [o for o in left if o is not operation]
                if not isinstance(following, Impossible) and search(rest, following):
                    return True
        return False

    return search(definite + optional, ABSENT)


def random_history(chance: Random) -> list[Operation]:
    """A few clients on one register, mostly honest; every value is unique."""
    state: State = None
    position = count()
    operations: list[Operation] = []
    under_way: list[Operation] = []
    for number in range(chance.randint(2, 11)):
        f = chance.choice(("read", "write", "append", "cas", "delete"))
        seen = chance.choice([o.output for o in operations] + [state, None])
        value = {"read": None, "delete": None, "cas": [seen, f"{number};"]}.get(f, f"{number};")
        operation = Operation(number, f, "x", value, next(position))
        operations.append(operation)
        under_way.append(operation)
        while under_way and chance.random() < 0.6:
            done = under_way.pop(chance.randrange(len(under_way)))
            following = step_of(done)(state) if done.f != "read" else state
            if chance.random() < 0.35:
                if chance.random() < 0.5 and not isinstance(following, Impossible):
                    state = following
                continue
            done.completed = next(position)
            if isinstance(following, Impossible):
                done.outcome, done.error = "fail", MISMATCH
                continue
            state, done.outcome = following, "ok"
            if done.f == "read":
                done.output = state if chance.random() < 0.85 else chance.choice([o.output for o in operations])
    return operations


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_exhaustive_search(seed: int) -> None:
    chance = Random(seed)
    verdicts = set()
    for _ in range(100):
        history = random_history(chance)
        expected = Verdict.OK if exhaustive(history) else Verdict.VIOLATION
        report = check_history(history)
        assert report.verdict is expected, "\n".join([str(report.keys), *map(str, history)])
        verdicts.add(expected)
    assert Verdict.OK in verdicts
