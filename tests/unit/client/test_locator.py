"""Which address the locator returns next, and after which delay."""

import random

from raft_pkg.client.locator import AVOID_SECONDS_MAX, BACK_OFF_MAX_SECONDS, LeaderLocator


def make_locator(*endpoints):
    return LeaderLocator(endpoints, random.Random(1))


def test_a_round_returns_each_endpoint_once_without_delay():
    locator = make_locator("a", "b", "c")
    assert [locator.next(0.0) for _ in range(3)] == [("a", 0.0), ("b", 0.0), ("c", 0.0)]
    address, delay = locator.next(0.0)
    assert address == "a"
    assert delay > 0


def test_a_hint_is_followed_at_once_and_only_once_per_round():
    locator = make_locator("a", "b")
    assert locator.next(0.0)[0] == "a"
    locator.refused("a", "not the leader", "z")
    assert locator.next(0.0) == ("z", 0.0)
    locator.refused("z", "not the leader", "a")
    assert locator.next(0.0) == ("b", 0.0)
    locator.refused("b", "not the leader", "z")
    assert locator.next(0.0)[1] > 0


def test_an_address_that_failed_is_avoided_even_as_a_hint():
    locator = make_locator("a", "b")
    locator.failed("a", "refused", 10.0)
    assert locator.next(10.0) == ("b", 0.0)
    locator.refused("b", "not the leader", "a")
    assert locator.next(10.0)[0] == "b"
    locator.refused("b", "not the leader", "a")
    assert locator.next(10.0 + AVOID_SECONDS_MAX) == ("a", 0.0)


def test_an_address_that_refuses_connections_is_tried_again_soon():
    """Regression: the leader of a restarted cluster, unreachable just before, was found up to a second late."""
    locator = make_locator("a", "b")
    locator.unreachable("a", "refused", 10.0, took=0.003)
    locator.refused("b", "not the leader", "a")
    assert locator.next(10.02)[1] > 0
    locator.refused("b", "not the leader", "a")
    assert locator.next(10.04) == ("a", 0.0)
    locator.unreachable("a", "no response in time", 20.0, took=1.0)
    locator.refused("b", "not the leader", "a")
    assert locator.next(20.9)[0] == "b"


def test_addresses_are_tried_again_when_all_have_failed():
    locator = make_locator("a", "b")
    locator.failed("a", "refused", 0.0)
    locator.failed("b", "refused", 0.0)
    address, delay = locator.next(0.0)
    assert address == "a"
    assert delay > 0


def test_the_back_off_grows_to_its_maximum_and_is_reset_by_success():
    locator = make_locator("a")
    delays = [locator.next(0.0)[1] for _ in range(2000)]
    assert delays[0] == 0.0
    assert max(delays[1:4]) < 0.05
    assert all(0.5 * BACK_OFF_MAX_SECONDS <= delay <= 1.5 * BACK_OFF_MAX_SECONDS for delay in delays[100:])
    locator.found("a")
    assert locator.next(0.0) == ("a", 0.0)


def test_the_description_has_the_last_failure_of_each_address():
    locator = make_locator("a", "b")
    assert "a, b" in locator.describe()
    locator.failed("a", "connection refused", 0.0)
    locator.refused("b", "not the leader", None)
    assert locator.describe() == "a: connection refused; b: not the leader"
