"""Where to look for the leader next, in time that the test decides."""

import random

from raft_pkg.client.locator import AVOID_SECONDS_MAX, BACK_OFF_MAX_SECONDS, LeaderLocator


def make_locator(*endpoints):
    return LeaderLocator(endpoints, random.Random(1))


def test_a_round_tries_each_endpoint_once_without_waiting():
    locator = make_locator("a", "b", "c")
    assert [locator.next(0.0) for _ in range(3)] == [("a", 0.0), ("b", 0.0), ("c", 0.0)]
    address, delay = locator.next(0.0)
    assert address == "a"
    assert delay > 0


def test_a_hint_is_followed_at_once_and_only_once_a_round():
    locator = make_locator("a", "b")
    assert locator.next(0.0)[0] == "a"
    locator.refused("a", "not the leader", "z")
    assert locator.next(0.0) == ("z", 0.0)
    locator.refused("z", "not the leader", "a")
    assert locator.next(0.0) == ("b", 0.0)
    locator.refused("b", "not the leader", "z")
    assert locator.next(0.0)[1] > 0


def test_an_address_that_failed_is_passed_over_for_a_while_even_when_hinted_at():
    locator = make_locator("a", "b")
    locator.failed("a", "refused", 10.0)
    assert locator.next(10.0) == ("b", 0.0)
    locator.refused("b", "not the leader", "a")
    assert locator.next(10.0)[0] == "b"
    locator.refused("b", "not the leader", "a")
    assert locator.next(10.0 + AVOID_SECONDS_MAX) == ("a", 0.0)


def test_who_refuses_a_connection_at_once_is_soon_tried_again():
    """Regression: a whole cluster that came back was found up to a second late, as its leader had just been away."""
    locator = make_locator("a", "b")
    locator.unreachable("a", "refused", 10.0, took=0.003)
    locator.refused("b", "not the leader", "a")
    assert locator.next(10.02)[1] > 0
    locator.refused("b", "not the leader", "a")
    assert locator.next(10.04) == ("a", 0.0)
    locator.unreachable("a", "no answer in time", 20.0, took=1.0)
    locator.refused("b", "not the leader", "a")
    assert locator.next(20.9)[0] == "b"


def test_when_all_have_failed_they_are_tried_all_the_same():
    locator = make_locator("a", "b")
    locator.failed("a", "refused", 0.0)
    locator.failed("b", "refused", 0.0)
    address, delay = locator.next(0.0)
    assert address == "a"
    assert delay > 0


def test_back_off_grows_to_its_limit_and_is_forgotten_when_a_leader_is_found():
    locator = make_locator("a")
    delays = [locator.next(0.0)[1] for _ in range(2000)]
    assert delays[0] == 0.0
    assert max(delays[1:4]) < 0.05
    assert all(0.5 * BACK_OFF_MAX_SECONDS <= delay <= 1.5 * BACK_OFF_MAX_SECONDS for delay in delays[100:])
    locator.found("a")
    assert locator.next(0.0) == ("a", 0.0)


def test_what_was_found_is_told():
    locator = make_locator("a", "b")
    assert "a, b" in locator.describe()
    locator.failed("a", "connection refused", 0.0)
    locator.refused("b", "not the leader", None)
    assert locator.describe() == "a: connection refused; b: not the leader"
