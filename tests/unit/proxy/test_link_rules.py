"""Rules for messages on links, without a network."""

from random import Random
from typing import Any

import pytest

from raft_pkg.errors import ConfigurationError
from raft_testbed.proxy.link_rules import LinkRule, Network

LINK = ("raft-0", "raft-1")
BACK = ("raft-1", "raft-0")


def network(**rule: Any) -> Network:
    found = Network(Random(1))
    found.set_rule("rule", LinkRule((LINK,), **rule), until=10.0)
    return found


def test_without_rules_messages_are_forwarded_immediately() -> None:
    assert Network().delays(LINK, 100, now=0.0) == [0.0]


def test_a_partition_drops_messages_in_one_direction() -> None:
    partition = network(drop=1.0)
    assert partition.delays(LINK, 100, now=0.0) == []
    assert partition.delays(BACK, 100, now=0.0) == [0.0]
    assert partition.counts[LINK] == {"messages": 1, "dropped": 1}


def test_a_rule_expires() -> None:
    partition = network(drop=1.0)
    assert partition.delays(LINK, 100, now=10.0) == [0.0]
    assert partition.rules(now=10.0) == {}


def test_a_rule_can_be_cleared() -> None:
    partition = network(drop=1.0)
    assert partition.clear("another") == []
    assert partition.clear("rule") == ["rule"]
    assert partition.delays(LINK, 100, now=0.0) == [0.0]


def test_a_star_is_any_node() -> None:
    rule = LinkRule((("raft-0", "*"),))
    assert rule.applies_to(("raft-0", "raft-2"))
    assert not rule.applies_to(BACK)


def test_the_requested_share_of_messages_is_dropped() -> None:
    lossy = network(drop=0.3)
    dropped = sum(not lossy.delays(LINK, 100, now=0.0) for _ in range(10_000))
    assert 2_800 < dropped < 3_200


def test_a_duplicated_message_has_two_delays() -> None:
    times = network(duplicate=1.0, delay_ms_min=10, delay_ms_max=20).delays(LINK, 100, now=0.0)
    assert len(times) == 2
    assert all(0.010 <= time <= 0.020 for time in times)
    assert times[0] != times[1]


def test_bandwidth_delays_messages_behind_earlier_ones() -> None:
    slow = network(bytes_per_second=1_000)
    assert slow.delays(LINK, 500, now=0.0) == [0.5]
    assert slow.delays(LINK, 500, now=0.25) == [0.75]
    assert slow.delays(LINK, 500, now=5.0) == [0.5]


def test_streams_are_reset_at_the_requested_interval() -> None:
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
def test_a_malformed_rule_is_rejected(content: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        LinkRule.from_json(content)


def test_a_rule_survives_json() -> None:
    rule = LinkRule((LINK, BACK), drop=0.5, delay_ms_min=1.0, delay_ms_max=2.0)
    assert LinkRule.from_json(rule.to_json()) == rule
