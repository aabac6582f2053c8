"""Queues of linearizable reads (dissertation §6.4): those of a leader, and those that a follower forwards.

Both hold request ids, which are unique within one incarnation of the node.
"""

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class ReadQueue:
    """A leader's reads in two states: waiting for a round of heartbeats, or part of the round in progress.

    One round serves all reads that arrived before it began. At most one round with reads is in progress, so that under
    load the reads that arrive meanwhile share the next one.
    """

    round: int = 0
    """Number of the newest round; heartbeats carry it."""
    _waiting: list[int] = field(default_factory=list)
    _in_round: list[int] = field(default_factory=list)
    _reads_round: int = 0
    """Number of the round that serves `_in_round`."""
    _reads_index: int = 0
    """Read index of `_in_round`."""
    _begun_at: deque[tuple[int, float]] = field(default_factory=deque)
    """Number and start of each round that no quorum has acknowledged yet, oldest first."""

    def add(self, request_id: int) -> None:
        """Queue a read."""
        self._waiting.append(request_id)

    def begin_lease_round(self, now: float) -> None:
        """Begin a round without reads; once a quorum has acknowledged it, the lease counts from `now`."""
        self.round += 1
        self._begun_at.append((self.round, now))

    def begin_round(self, commit_index: int, now: float) -> bool:
        """Begin a round for the waiting reads, with `commit_index` as their read index. Return whether one began."""
        if not self._waiting or self._in_round:
            return False
        self.begin_lease_round(now)
        self._in_round, self._waiting = self._waiting, []
        self._reads_round, self._reads_index = self.round, commit_index
        return True

    def take_confirmed(self, acknowledged_round: int) -> list[tuple[int, int]]:
        """Return the reads that a quorum's acknowledgement of a round confirms, each with its read index."""
        if not self._in_round or acknowledged_round < self._reads_round:
            return []
        confirmed = [(request_id, self._reads_index) for request_id in self._in_round]
        self._in_round = []
        return confirmed

    def take_start_of(self, acknowledged_round: int) -> float | None:
        """Return when the newest acknowledged round began, or None if that was returned before."""
        newest = None
        while self._begun_at and self._begun_at[0][0] <= acknowledged_round:
            newest = self._begun_at.popleft()[1]
        return newest

    def take_waiting(self) -> list[int]:
        """Return the reads that are not part of a round, which the lease can serve."""
        taken, self._waiting = self._waiting, []
        return taken

    def fail_all(self) -> list[int]:
        """Remove all reads. Return them."""
        lost = self._in_round + self._waiting
        self._in_round, self._waiting = [], []
        self._begun_at.clear()
        return lost


@dataclass(slots=True)
class ForwardedReads:
    """A follower's reads in three states: not requested, requested from the leader, waiting for their read index.

    One request serves all reads that arrived before it.
    """

    _waiting: list[int] = field(default_factory=list)
    _requested: dict[int, tuple[float, list[int]]] = field(default_factory=dict)
    """By request id: when the request was sent, and its reads."""
    _indexed: list[tuple[int, int]] = field(default_factory=list)
    """Pairs of a read and its index, in the order of the indexes."""

    def add(self, request_id: int) -> None:
        """Queue a read."""
        self._waiting.append(request_id)

    def begin_request(self, now: float) -> int | None:
        """Return the id of the request to send now, or None if no read is waiting."""
        if not self._waiting:
            return None
        request_id = self._waiting[-1]
        self._requested[request_id] = now, self._waiting
        self._waiting = []
        return request_id

    def handle_reply(self, request_id: int, index: int) -> list[int]:
        """Process the leader's reply. Return the reads that it rejects (index 0: it does not lead)."""
        _, reads = self._requested.pop(request_id, (0.0, []))
        if not index:
            return reads
        self._indexed += [(read, index) for read in reads]
        self._indexed.sort(key=lambda read: read[1])
        return []

    def take_committed(self, commit_index: int) -> list[tuple[int, int]]:
        """Return the reads whose index is committed, each with its index."""
        if not self._indexed or self._indexed[0][1] > commit_index:
            return []
        ready = [read for read in self._indexed if read[1] <= commit_index]
        self._indexed = self._indexed[len(ready) :]
        return ready

    def expire(self, sent_before: float) -> list[int]:
        """Remove the reads whose request, or the reply to it, counts as lost. Return them."""
        lost = [request_id for request_id, (sent_at, _) in self._requested.items() if sent_at < sent_before]
        return [read for request_id in lost for read in self._requested.pop(request_id)[1]]

    def fail_all(self) -> list[int]:
        """Remove all reads. Return them."""
        lost = [read for read, _ in self._indexed]
        self._indexed = []
        return lost + self.fail_unanswered()

    def fail_unanswered(self) -> list[int]:
        """Remove the reads that have no reply from the leader. Return them."""
        lost = [read for _, reads in self._requested.values() for read in reads] + self._waiting
        self._requested.clear()
        self._waiting = []
        return lost
