"""What the proxy does to messages, decided without a network."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from raft_pkg.errors import ConfigurationError
from raft_testbed.proxy.rules import Network, Rule

LINK = ("raft-0", "raft-1")
BACK = ("raft-1", "raft-0")


def network(**rule: Any) -> Network:
    found = Network(Random(1))
    found.set_rule("it", Rule((LINK,), **rule), until=10.0)
    return found


def test_without_rules_every_message_goes_on_at_once() -> None:
    assert Network().fate(LINK, 100, now=0.0) == [0.0]


def test_a_cut_loses_everything_one_way_and_nothing_the_other() -> None:
    cut = network(drop=1.0)
    assert cut.fate(LINK, 100, now=0.0) == []
    assert cut.fate(BACK, 100, now=0.0) == [0.0]
    assert cut.counts[LINK] == {"messages": 1, "dropped": 1}


def test_a_rule_ends_by_itself() -> None:
    cut = network(drop=1.0)
    assert cut.fate(LINK, 100, now=10.0) == [0.0]
    assert cut.rules(now=10.0) == {}


def test_a_rule_can_be_taken_back() -> None:
    cut = network(drop=1.0)
    assert cut.clear("another") == []
    assert cut.clear("it") == ["it"]
    assert cut.fate(LINK, 100, now=0.0) == [0.0]


def test_everybody_is_a_star() -> None:
    rule = Rule((("raft-0", "*"),))
    assert rule.concerns(("raft-0", "raft-2"))
    assert not rule.concerns(BACK)


def test_loss_has_the_share_that_was_asked_for() -> None:
    lossy = network(drop=0.3)
    lost = sum(not lossy.fate(LINK, 100, now=0.0) for _ in range(10_000))
    assert 2_800 < lost < 3_200


def test_a_repeated_message_is_sent_twice_each_after_a_delay_of_its_own() -> None:
    times = network(duplicate=1.0, delay_ms_min=10, delay_ms_max=20).fate(LINK, 100, now=0.0)
    assert len(times) == 2
    assert all(0.010 <= time <= 0.020 for time in times)
    assert times[0] != times[1]


def test_bandwidth_makes_messages_wait_for_those_before() -> None:
    slow = network(bytes_per_second=1_000)
    assert slow.fate(LINK, 500, now=0.0) == [0.5]
    assert slow.fate(LINK, 500, now=0.25) == [0.75]
    assert slow.fate(LINK, 500, now=5.0) == [0.5]


def test_streams_are_broken_about_as_often_as_asked_for() -> None:
    assert Network().reset_delay(LINK, now=0.0) is None
    found = network(reset_every_ms=1_000).reset_delay(LINK, now=0.0)
    assert found is not None
    assert 0.5 <= found <= 1.5


@pytest.mark.parametrize(
    "content",
    [
        {"links": []},
        {"links": [["raft-0", "raft-1"]], "drop": 2},
        {"links": [["raft-0", "raft-1"]], "delay_ms_min": 5},
        {"links": [["raft-0", "raft-1"]], "unknown": 1},
        {"links": ["raft-0"]},
        {"drop": 1},
    ],
)
def test_what_is_no_rule_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Rule.from_json(content)


def test_a_rule_survives_json() -> None:
    rule = Rule((LINK, BACK), drop=0.5, delay_ms_min=1.0, delay_ms_max=2.0)
    assert Rule.from_json(rule.to_json()) == rule
