"""Time-outs and limits of the protocol. All times are in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RaftConfig:
    """Time-outs and limits of one node.

    Raise `ValueError` that names the field if a value is out of range, or values contradict each other (§5.6: the
    broadcast time must be far below the election time-out).
    """

    election_timeout_min: float = 0.150
    """Minimum time without a leader before an election (§5.2), unless the leader is known to be unreachable."""

    election_timeout_max: float = 0.300
    """Maximum of that time; each time-out is drawn uniformly between the two, so that split votes are rare (§5.2)."""

    heartbeat_interval: float = 0.050
    """Time between heartbeats of a leader."""

    pre_vote: bool = True
    """Whether a node asks if it could win before it starts an election (dissertation §9.6), so that a partitioned node
    does not disrupt the cluster when it returns."""

    check_quorum: bool = True
    """Whether a leader steps down after `election_timeout_max` without replies from a quorum, and voters reject
    candidates for `election_timeout_min` after a leader's last message (dissertation §4.2.3, §6.2)."""

    append_bytes_max: int = 1024 * 1024
    """Size at which AppendEntries takes no further entry, in bytes of data."""

    appends_in_flight_max: int = 64
    """How many AppendEntries with entries may be sent to a follower ahead of its replies."""

    snapshot_chunk_bytes: int = 1024 * 1024
    """Maximum size of the data of one InstallSnapshot, in bytes."""

    tail_entries_max: int = 10_000
    """How many entries before a new snapshot the log keeps, so that a slow follower does not need the snapshot."""

    tail_bytes_max: int = 8 * 1024 * 1024
    """Maximum size of these entries, in bytes of data."""

    lease_reads: bool = False
    """Whether a leader serves reads without a round of heartbeats while no other leader can be elected (dissertation
    §6.4.1). It requires `check_quorum`, and clocks whose rates differ by at most `clock_drift_max`: otherwise reads can
    be stale."""

    clock_drift_max: float = 0.1
    """Fraction by which a lease is shortened, because clocks run at different rates."""

    def __post_init__(self) -> None:
        if not 0 < self.election_timeout_min <= self.election_timeout_max:
            raise ValueError(
                f"election_timeout_min ({self.election_timeout_min} s) must be above 0 and at most "
                f"election_timeout_max ({self.election_timeout_max} s)"
            )
        if not 0 < self.heartbeat_interval < self.election_timeout_min:
            raise ValueError(
                f"heartbeat_interval ({self.heartbeat_interval} s) must be above 0 and below "
                f"election_timeout_min ({self.election_timeout_min} s)"
            )
        for name, minimum in _MINIMUM.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"{name} must be at least {minimum}, not {getattr(self, name)}")
        if not 0 <= self.clock_drift_max < 1:
            raise ValueError(f"clock_drift_max must be at least 0 and below 1, not {self.clock_drift_max}")
        if self.lease_reads and not self.check_quorum:
            raise ValueError(
                "lease_reads requires check_quorum: without it, voters can replace a leader that has a lease"
            )


_MINIMUM = {
    "append_bytes_max": 1,
    "appends_in_flight_max": 1,
    "snapshot_chunk_bytes": 1,
    "tail_entries_max": 0,
    "tail_bytes_max": 0,
}
