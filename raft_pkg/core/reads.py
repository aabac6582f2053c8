"""Linearizable reads without a log entry (dissertation §6.4, ReadIndex): a leader's reads that wait for a quorum."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class ReadQueue:
    """Reads in three states: not yet part of a round, waiting for their round's answers, done.

    One round of heartbeats serves every read that came before it began. At most one round is under way, so under
    load the reads that arrive meanwhile share the next one.
    """

    round: int = 0
    """Number of the newest round; heartbeats carry it."""
    _next_read: int = 1
    _waiting: list[int] = field(default_factory=list)
    _under_way: list[int] = field(default_factory=list)
    _under_way_index: int = 0

    def add(self) -> int:
        """Queue a read; returns its number, unique within this node's life."""
        number = self._next_read
        self._next_read += 1
        self._waiting.append(number)
        return number

    def begin_round(self, commit_index: int) -> bool:
        """Begin a round for the reads that wait, to be answered at `commit_index`; False: nothing to begin."""
        if not self._waiting or self._under_way:
            return False
        self.round += 1
        self._under_way, self._waiting = self._waiting, []
        self._under_way_index = commit_index
        return True

    def confirmed(self, answered_round: int) -> list[tuple[int, int]]:
        """A quorum has answered `answered_round`: the reads that may go, each with the index it must see."""
        if not self._under_way or answered_round < self.round:
            return []
        ready = [(number, self._under_way_index) for number in self._under_way]
        self._under_way = []
        return ready

    def clear(self) -> list[int]:
        """Give up all reads (leadership ended); returns their numbers."""
        lost = self._under_way + self._waiting
        self._under_way, self._waiting = [], []
        return lost
