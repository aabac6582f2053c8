"""The leader's knowledge of one follower: nextIndex and matchIndex (paper, Figure 2), and what is in flight to it."""

from collections import deque
from dataclasses import dataclass, field

from raft_pkg.core.types import SnapshotMetadata

CHUNK_HEARTBEATS_MAX = 4
"""After how many heartbeats without a reply a chunk of a snapshot is sent again."""


@dataclass(slots=True)
class Progress:
    """Replication to one follower, in one of three states.

    Probing: the leader does not know where the logs match, and sends one append at a time. Pipelining: the logs match
    up to `match_index`, and `next_index` runs ahead of the replies, up to a limit of appends in flight; the next
    heartbeat reveals lost appends, since the follower lacks the entry before it. Snapshot: the follower gets `snapshot`
    instead of entries (§7), one chunk at a time.
    """

    next_index: int
    last_contact: float
    """When this follower last replied in the leader's term, in seconds of the caller's clock."""
    match_index: int = 0
    probing: bool = True
    probe_in_flight: bool = False
    is_pipeline_broken: bool = False
    """Whether an append of the pipeline was rejected since the last heartbeat. Replies may predate the rejection."""
    in_flight: deque[int] = field(default_factory=deque)
    """Last index of each append with entries that has no reply yet."""
    incarnation: int = 0
    """Incarnation of the follower that this progress belongs to."""
    snapshot: SnapshotMetadata | None = None
    snapshot_offset: int = 0
    """Offset up to which the follower has the snapshot on disk."""
    chunk_in_flight: bool = False
    heartbeats_since_chunk: int = 0
    read_round: int = 0
    """The newest round of heartbeats that this follower has acknowledged in the leader's term."""

    def may_send(self, in_flight_max: int) -> bool:
        """Return whether another append with entries may be sent now."""
        return not self.probe_in_flight if self.probing else len(self.in_flight) < in_flight_max

    def sent(self, last_index: int) -> None:
        """Record that an append with entries up to `last_index` was sent."""
        if self.probing:
            self.probe_in_flight = True
        else:
            self.in_flight.append(last_index)
            self.next_index = last_index + 1

    def matched(self, index: int) -> None:
        """Record that the follower's log matches up to `index`."""
        self.probing = self.is_pipeline_broken
        self.probe_in_flight = self.is_pipeline_broken and self.probe_in_flight and index <= self.match_index
        self.snapshot = None
        self.match_index = max(self.match_index, index)
        self.next_index = max(self.next_index, self.match_index + 1)
        while self.in_flight and self.in_flight[0] <= self.match_index:
            self.in_flight.popleft()

    def is_stale_rejection(self, rejected_index: int) -> bool:
        """Return whether a rejection answers an append that later replies have superseded."""
        if self.probing:
            return rejected_index != self.next_index - 1
        return not self.match_index < rejected_index < self.next_index

    def rejected(self, next_index: int) -> None:
        """Probe from `next_index`: the follower lacks the entry before it, or has another one.

        A broken pipeline is probed until the next heartbeat. If the first success among the outstanding replies filled
        it again, the next outstanding rejection would break it again, with more appends in flight each time.
        """
        self.is_pipeline_broken = self.is_pipeline_broken or not self.probing
        self.probe_in_flight = False
        self.probing = True
        self.in_flight.clear()
        self.next_index = max(next_index, self.match_index + 1)

    def heartbeat(self) -> None:
        """Count the probe in flight as lost, and after several heartbeats the chunk in flight.

        Call it for heartbeats, not for rounds of reads: those are frequent, entries are large, and chunks larger.
        """
        self.probe_in_flight = self.is_pipeline_broken = False
        self.heartbeats_since_chunk += 1
        if self.heartbeats_since_chunk > CHUNK_HEARTBEATS_MAX:
            self.chunk_in_flight = False

    def chunk_sent(self) -> None:
        """Record that a chunk of the snapshot was sent."""
        self.chunk_in_flight = True
        self.heartbeats_since_chunk = 0

    def begin_snapshot(self, snapshot: SnapshotMetadata) -> None:
        """Send this snapshot, because the log no longer has the next entries; continue if it is being sent already."""
        if self.snapshot != snapshot:
            self.snapshot = snapshot
            self.snapshot_offset = 0
            self.chunk_in_flight = False
            self.in_flight.clear()

    def chunk_acknowledged(self, snapshot_index: int, offset: int) -> bool:
        """Record that the follower has a snapshot up to `offset`. Return whether it has all of what is being sent."""
        if self.snapshot is None or self.snapshot.index != snapshot_index:
            return False
        if offset != self.snapshot_offset:
            self.snapshot_offset = min(offset, self.snapshot.size)
            self.chunk_in_flight = False
        return self.snapshot_offset == self.snapshot.size
