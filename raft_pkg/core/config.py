"""The numbers that the protocol runs by. All times are in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RaftConfig:
    """Time-outs and limits of one node.

    Raises `ValueError`, naming the field, when the numbers can't work together (§5.6: broadcast time must be far
    below the election time-out).
    """

    election_timeout_min: float = 0.150
    """Least time without a leader before an election begins (§5.2), unless its process is known to have ended."""

    election_timeout_max: float = 0.300
    """Greatest such time; each wait is drawn uniformly between the two, which keeps split votes rare (§5.2)."""

    heartbeat_interval: float = 0.050
    """Time between a leader's signs of life."""

    pre_vote: bool = True
    """Ask whether an election could be won before beginning a term (dissertation §9.6), so that a node that was cut
    off disturbs nobody when it comes back."""

    check_quorum: bool = True
    """A leader that hears from no quorum for `election_timeout_max` steps down, and voters that heard from a leader
    within `election_timeout_min` let nobody replace it (dissertation §4.2.3, §6.2)."""

    append_bytes_max: int = 1024 * 1024
    """An AppendEntries takes no further entry once its data have reached this many bytes."""

    appends_in_flight_max: int = 64
    """AppendEntries with entries sent to one follower and not yet answered."""

    snapshot_chunk_bytes: int = 1024 * 1024
    """Bytes of a snapshot that one InstallSnapshot carries."""

    tail_entries_max: int = 10_000
    """Entries before a new snapshot that the log keeps, so that a slow follower need not get the snapshot."""

    tail_bytes_max: int = 8 * 1024 * 1024
    """And at most so many bytes of them."""

    lease_reads: bool = False
    """Whether a leader answers reads without asking anybody while no other can have been elected (dissertation
    §6.4.1). It needs `check_quorum`, and clocks of which none runs faster or slower than another by more than
    `clock_drift_max`: where that does not hold, reads can be stale."""

    clock_drift_max: float = 0.1
    """By how much of its length a lease is cut short, for clocks that run at different rates: 0.1 is a tenth."""

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
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if not 0 <= self.clock_drift_max < 1:
            raise ValueError(f"clock_drift_max must be at least 0 and below 1, not {self.clock_drift_max}")
        if self.lease_reads and not self.check_quorum:
            raise ValueError("lease_reads needs check_quorum: nobody else protects the leader")


_LEAST = {
    "append_bytes_max": 1,
    "appends_in_flight_max": 1,
    "snapshot_chunk_bytes": 1,
    "tail_entries_max": 0,
    "tail_bytes_max": 0,
}
