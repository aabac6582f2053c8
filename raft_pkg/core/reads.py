"""Linearizable reads without a log entry (dissertation §6.4): a leader's that wait for a quorum or go by its lease, and
a follower's that wait for the leader's word."""

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class ReadQueue:
    """A leader's reads in three states: not yet part of a round, waiting for their round's answers, done.

    One round of heartbeats serves every read that came before it began. At most one round is under way, so under
    load the reads that arrive meanwhile share the next one.
    """

    round: int = 0
    """Number of the newest round; heartbeats carry it."""
    _waiting: list[int] = field(default_factory=list)
    _under_way: list[int] = field(default_factory=list)
    _under_way_round: int = 0
    _under_way_index: int = 0
    _begun_at: deque[tuple[int, float]] = field(default_factory=deque)
    """Of the newest rounds that are not yet confirmed, when each began."""

    def add(self, number: int) -> None:
        """Queue a read; its number is unique within this node's life."""
        self._waiting.append(number)

    def begin_lease_round(self, now: float) -> None:
        """Begin a round without reads: when a quorum has answered it, the lease counts from `now`."""
        self.round += 1
        self._begun_at.append((self.round, now))

    def begin_round(self, commit_index: int, now: float) -> bool:
        """Begin a round for the reads that wait, to be answered at `commit_index`; False: nothing to begin."""
        if not self._waiting or self._under_way:
            return False
        self.begin_lease_round(now)
        self._under_way, self._waiting = self._waiting, []
        self._under_way_round, self._under_way_index = self.round, commit_index
        return True

    def confirmed(self, answered_round: int) -> list[tuple[int, int]]:
        """A quorum has answered `answered_round`: the reads that may go, each with the index it must see."""
        if not self._under_way or answered_round < self._under_way_round:
            return []
        ready = [(number, self._under_way_index) for number in self._under_way]
        self._under_way = []
        return ready

    def began(self, answered_round: int) -> float | None:
        """When the newest round that a quorum has answered began; None: that is known already."""
        newest = None
        while self._begun_at and self._begun_at[0][0] <= answered_round:
            newest = self._begun_at.popleft()[1]
        return newest

    def take_waiting(self) -> list[int]:
        """The reads that are not part of a round: the lease answers them."""
        taken, self._waiting = self._waiting, []
        return taken

    def clear(self) -> list[int]:
        """Give up all reads (leadership ended); returns their numbers."""
        lost = self._under_way + self._waiting
        self._under_way, self._waiting = [], []
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
