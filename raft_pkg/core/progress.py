"""What a leader knows of one follower (paper, Figure 2: nextIndex, matchIndex), and what is under way to it."""

from collections import deque
from dataclasses import dataclass, field

from raft_pkg.core.types import SnapshotMetadata

CHUNK_HEARTBEATS_MAX = 4
"""A chunk of a snapshot that was not answered for so many heartbeats is sent again."""


@dataclass(slots=True)
class Progress:
    """Replication to one follower.

    While `probing`, the leader does not know where the logs agree, and sends one append at a time. After the first
    success it pipelines: `next_index` runs ahead of the answers, up to a limit of appends in flight. Lost appends
    show in the next heartbeat, whose predecessor the follower then lacks. While `snapshot` is there, the follower gets
    that instead of entries (§7), a piece at a time, each when the one before is on its disk.
    """

    next_index: int
    heard_at: float
    """When this follower last answered in the leader's term, in the caller's seconds."""
    match_index: int = 0
    probing: bool = True
    probe_in_flight: bool = False
    is_broken: bool = False
    """Whether the pipeline broke, and the next heartbeat is still to come: much of what is answered is of before."""
    in_flight: deque[int] = field(default_factory=deque)
    """The last index of each append with entries that was sent and not yet answered."""
    incarnation: int = 0
    """Which life of the follower all of this is about."""
    snapshot: SnapshotMetadata | None = None
    snapshot_offset: int = 0
    """Up to where the follower has the snapshot on its disk."""
    chunk_in_flight: bool = False
    heartbeats_since_chunk: int = 0
    read_round: int = 0
    """The newest leadership check that this follower has answered in the leader's term."""

    def may_send(self, in_flight_max: int) -> bool:
        """Whether another append with entries may leave now."""
        return not self.probe_in_flight if self.probing else len(self.in_flight) < in_flight_max

    def sent(self, last_index: int) -> None:
        """An append with entries up to `last_index` has left."""
        if self.probing:
            self.probe_in_flight = True
        else:
            self.in_flight.append(last_index)
            self.next_index = last_index + 1

    def matched(self, index: int) -> None:
        """The follower's log equals ours up to `index`."""
        self.probing = self.is_broken
        self.probe_in_flight = self.is_broken and self.probe_in_flight and index <= self.match_index
        self.snapshot = None
        self.match_index = max(self.match_index, index)
        self.next_index = max(self.next_index, self.match_index + 1)
        while self.in_flight and self.in_flight[0] <= self.match_index:
            self.in_flight.popleft()

    def is_stale_rejection(self, rejected_index: int) -> bool:
        """Whether a refusal answers something sent before what we know now."""
        if self.probing:
            return rejected_index != self.next_index - 1
        return not self.match_index < rejected_index < self.next_index

    def rejected(self, next_index: int) -> None:
        """The follower lacks what precedes `next_index` or disagrees with it: probe from an earlier place.

        When that breaks a pipeline, one append after the other is sent until the next heartbeat: were it filled again
        at the first success among what is still under way, the next refusal there would break that, and so on, with
        more appends on their way each time.
        """
        self.is_broken = self.is_broken or not self.probing
        self.probe_in_flight = False
        self.probing = True
        self.in_flight.clear()
        self.next_index = max(next_index, self.match_index + 1)

    def heartbeat(self) -> None:
        """A heartbeat is due: an append that got no answer since the last one counts as lost, a piece after some.

        Lost appends are sent again at the next heartbeat, and not with each round of reads: entries are heavy, and
        chunks heavier.
        """
        self.probe_in_flight = self.is_broken = False
        self.heartbeats_since_chunk += 1
        if self.heartbeats_since_chunk > CHUNK_HEARTBEATS_MAX:
            self.chunk_in_flight = False

    def chunk_sent(self) -> None:
        """A chunk of the snapshot has left."""
        self.chunk_in_flight = True
        self.heartbeats_since_chunk = 0

    def needs_snapshot(self, snapshot: SnapshotMetadata) -> None:
        """The log no longer has what follows the place where the logs may agree: send this snapshot."""
        if self.snapshot != snapshot:
            self.snapshot = snapshot
            self.snapshot_offset = 0
            self.chunk_in_flight = False
            self.in_flight.clear()

    def has_snapshot_up_to(self, snapshot_index: int, offset: int) -> bool:
        """The follower has so much of the snapshot of that index; returns whether that is all of what it was sent."""
        if self.snapshot is None or self.snapshot.index != snapshot_index:
            return False
        if offset != self.snapshot_offset:
            self.snapshot_offset = min(offset, self.snapshot.size)
            self.chunk_in_flight = False
        return self.snapshot_offset == self.snapshot.size
