"""What clients choose: seeded, unique, bounded."""

from collections import Counter

import pytest

from raft_pkg.errors import ConfigurationError
from raft_testbed.workload.choice import APPENDS_MAX, DEFAULT_MIX, Choice, KeySpace, parse_mix


def choices(seed: int, client: int, count: int = 500, *, mix=DEFAULT_MIX, value_bytes: int = 0, keys: int = 3):
    choice = Choice(seed, client, KeySpace("run", keys), mix, value_bytes)
    return [choice.next() for _ in range(count)]


def test_the_same_seed_chooses_the_same() -> None:
    assert choices(1, 0) == choices(1, 0)
    assert choices(1, 0) != choices(2, 0)
    assert [(f, key) for f, key, _ in choices(1, 0)] != [(f, key) for f, key, _ in choices(1, 1)]


def test_no_value_is_part_of_another() -> None:
    """Not even where appends put them side by side."""
    values = []
    for client in range(12):
        for f, _, value in choices(1, client, 200):
            if f in ("write", "append", "cas"):
                values.append(value[1] if f == "cas" else value)
    everything = "".join(values)
    assert all(everything.count(value) == 1 for value in values)


def test_weights_decide_how_often() -> None:
    found = Counter(f for f, _, _ in choices(1, 0, 400, mix={"read": 3, "delete": 1}))
    assert set(found) == {"read", "delete"}
    assert 200 < found["read"] < 400


def test_values_do_not_grow_without_end() -> None:
    """Nothing but appends was asked for; a write comes in between, so that what is read can be judged."""
    found = [f for f, _, _ in choices(1, 0, 3 * (APPENDS_MAX + 1), mix={"append": 1}, keys=1)]
    assert found == (["append"] * APPENDS_MAX + ["write"]) * 3


def test_values_are_as_long_as_wanted() -> None:
    assert {len(value) for f, _, value in choices(1, 0, value_bytes=100) if f in ("write", "append")} == {100}


def test_mix_is_parsed() -> None:
    assert parse_mix("read=6, cas=0,append=4") == {"read": 6, "cas": 0, "append": 4}


@pytest.mark.parametrize("text", ["", "jump=1", "read", "read=-1", "read=0"])
def test_a_wrong_mix_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--mix"):
        parse_mix(text)
