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
    """A follower's reads: not yet asked for, asked of the leader, or known to need an index that is not yet committed.

    One question serves all reads that came before it left.
    """

    _waiting: list[int] = field(default_factory=list)
    _asked: dict[int, tuple[float, list[int]]] = field(default_factory=dict)
    """By the number of the question: when it left, and the reads that it is for."""
    _known: list[tuple[int, int]] = field(default_factory=list)
    """Pairs of a read's number and its index, in the order of the indexes."""

    def add(self, number: int) -> None:
        """Queue a read."""
        self._waiting.append(number)

    def ask(self, now: float) -> int | None:
        """The number of the question that is to be sent now; None: there is nothing to ask."""
        if not self._waiting:
            return None
        question = self._waiting[-1]
        self._asked[question] = now, self._waiting
        self._waiting = []
        return question

    def answered(self, question: int, index: int) -> list[int]:
        """The leader's answer; returns the reads that it can't serve (index 0: it does not lead)."""
        _, numbers = self._asked.pop(question, (0.0, []))
        if not index:
            return numbers
        self._known += [(number, index) for number in numbers]
        self._known.sort(key=lambda read: read[1])
        return []

    def committed(self, commit_index: int) -> list[tuple[int, int]]:
        """The reads whose index is committed, with it."""
        if not self._known or self._known[0][1] > commit_index:
            return []
        ready = [read for read in self._known if read[1] <= commit_index]
        self._known = self._known[len(ready) :]
        return ready

    def expired(self, asked_before: float) -> list[int]:
        """Reads whose question, or the answer to it, must be taken for lost."""
        lost = [question for question, (asked_at, _) in self._asked.items() if asked_at < asked_before]
        return [number for question in lost for number in self._asked.pop(question)[1]]

    def give_up(self) -> list[int]:
        """Give up all: no leader is heard, so the entries that some must see may never come; returns their numbers."""
        lost = [number for number, _ in self._known]
        self._known = []
        return lost + self.clear()

    def clear(self) -> list[int]:
        """Give up all that have no answer (the leader is another); returns their numbers."""
        lost = [number for _, numbers in self._asked.values() for number in numbers] + self._waiting
        self._asked.clear()
        self._waiting = []
        return lost
