"""Generated operations: seeded, with unique values of bounded size."""

from collections import Counter

import pytest

from raft_pkg.errors import ConfigurationError
from raft_testbed.workload.generator import APPENDS_MAX, DEFAULT_MIX, KeySpace, OperationGenerator, parse_mix


def generate(seed: int, client: int, count: int = 500, *, mix=DEFAULT_MIX, value_bytes: int = 0, keys: int = 3):
    generator = OperationGenerator(seed, client, KeySpace("run", keys), mix, value_bytes)
    return [generator.next() for _ in range(count)]


def test_equal_seeds_generate_equal_operations() -> None:
    assert generate(1, 0) == generate(1, 0)
    assert generate(1, 0) != generate(2, 0)
    assert [(f, key) for f, key, _ in generate(1, 0)] != [(f, key) for f, key, _ in generate(1, 1)]


def test_no_value_is_part_of_another() -> None:
    """Appends concatenate values, so the values are joined here as well."""
    values = []
    for client in range(12):
        for f, _, value in generate(1, client, 200):
            if f in ("write", "append", "cas"):
                values.append(value[1] if f == "cas" else value)
    everything = "".join(values)
    assert all(everything.count(value) == 1 for value in values)


def test_weights_determine_the_frequency() -> None:
    found = Counter(f for f, _, _ in generate(1, 0, 400, mix={"read": 3, "delete": 1}))
    assert set(found) == {"read", "delete"}
    assert 200 < found["read"] < 400


def test_the_size_of_values_is_bounded() -> None:
    """In a mix of appends alone, a write replaces every 31st append."""
    found = [f for f, _, _ in generate(1, 0, 3 * (APPENDS_MAX + 1), mix={"append": 1}, keys=1)]
    assert found == (["append"] * APPENDS_MAX + ["write"]) * 3


def test_values_have_the_requested_length() -> None:
    assert {len(value) for f, _, value in generate(1, 0, value_bytes=100) if f in ("write", "append")} == {100}


def test_mix_is_parsed() -> None:
    assert parse_mix("read=6, cas=0,append=4") == {"read": 6, "cas": 0, "append": 4}


@pytest.mark.parametrize("text", ["", "jump=1", "read", "read=-1", "read=0"])
def test_a_malformed_mix_is_rejected(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--mix"):
        parse_mix(text)
