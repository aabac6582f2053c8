"""RaftConfig rejects values that contradict each other, and names the field."""

import pytest

from raft_pkg.core.config import RaftConfig


def test_defaults_satisfy_the_timing_requirement():
    """§5.6: broadcast time ≪ election time-out."""
    config = RaftConfig()
    assert config.heartbeat_interval < config.election_timeout_min < config.election_timeout_max
    assert config.pre_vote
    assert config.check_quorum
    assert not config.lease_reads


@pytest.mark.parametrize(
    ("numbers", "why"),
    [
        ({"election_timeout_min": 0.0}, r"election_timeout_min \(0.0 s\) must be above 0"),
        ({"election_timeout_min": -1.0}, "election_timeout_min"),
        ({"election_timeout_min": float("nan")}, "election_timeout_min"),
        ({"election_timeout_min": 0.4, "election_timeout_max": 0.3}, r"at most election_timeout_max \(0.3 s\)"),
        ({"heartbeat_interval": 0.0}, r"heartbeat_interval \(0.0 s\) must be above 0"),
        ({"heartbeat_interval": 0.15}, r"below election_timeout_min \(0.15 s\)"),
        ({"append_bytes_max": 0}, "append_bytes_max must be at least 1, not 0"),
        ({"appends_in_flight_max": 0}, "appends_in_flight_max must be at least 1, not 0"),
        ({"snapshot_chunk_bytes": 0}, "snapshot_chunk_bytes must be at least 1, not 0"),
        ({"tail_entries_max": -1}, "tail_entries_max must be at least 0, not -1"),
        ({"tail_bytes_max": -1}, "tail_bytes_max must be at least 0, not -1"),
        ({"clock_drift_max": 1.0}, r"clock_drift_max must be at least 0 and below 1, not 1\.0"),
        ({"clock_drift_max": -0.1}, "clock_drift_max"),
        ({"clock_drift_max": float("nan")}, "clock_drift_max"),
        ({"lease_reads": True, "check_quorum": False}, "lease_reads requires check_quorum"),
    ],
)
def test_invalid_values_are_rejected(numbers, why):
    with pytest.raises(ValueError, match=why):
        RaftConfig(**numbers)


def test_equal_timeouts_are_allowed():
    """Votes may split repeatedly, but a cluster of one node does not mind."""
    assert RaftConfig(election_timeout_min=0.2, election_timeout_max=0.2).election_timeout_max == 0.2
