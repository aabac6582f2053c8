"""Histogram of durations: quantiles are close to the exact ones."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_testbed.bench import Histogram


def histogram_of(durations):
    histogram = Histogram()
    for duration in durations:
        histogram.record(duration)
    return histogram


@given(st.integers(0, 2**63 - 1))
def test_a_single_duration_is_within_a_percent(duration):
    histogram = histogram_of([duration])
    assert histogram.count == 1
    assert histogram.longest == duration
    assert histogram.quantile(0.5) == pytest.approx(duration, rel=0.01)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200), st.floats(0.01, 1))
def test_a_quantile_is_within_a_percent_of_the_exact_one(durations, share):
    exact = sorted(durations)[max(0, -(-int(share * len(durations) * 10**9) // 10**9) - 1)]
    quantile = histogram_of(durations).quantile(share)
    following = min((d for d in durations if d > exact), default=exact)
    assert exact * 0.99 <= quantile <= following * 1.01 + 1


def test_quantiles_of_many_durations():
    rng = random.Random(1)
    durations = [int(rng.lognormvariate(14, 1)) for _ in range(20_000)]
    histogram = histogram_of(durations)
    for share in (0.5, 0.9, 0.99):
        assert histogram.quantile(share) == pytest.approx(sorted(durations)[int(share * 20_000)], rel=0.02)
    assert histogram.quantile(1) == pytest.approx(max(durations), rel=0.01)


def test_an_empty_histogram_has_quantile_zero():
    assert Histogram().quantile(0.99) == 0


def test_two_histograms_are_added():
    one, other = histogram_of([1_000] * 3), histogram_of([9_000] * 7)
    one.add(other)
    assert one.count == 10
    assert one.longest == 9_000
    assert one.quantile(0.2) == pytest.approx(1_000, rel=0.01)
    assert one.quantile(0.5) == pytest.approx(9_000, rel=0.01)
