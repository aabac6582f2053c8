"""What a log adds up to, and which additions to it can be right. Holds on to promises: term and vote never go back."""

from bisect import bisect_right
from collections.abc import Sequence

from raft_pkg.core.types import Entry, HardState


def hard_state_problem(current: HardState, new: HardState) -> str | None:
    """Why a hard state can't follow another one; None when it can (paper, Figure 2: current_term, voted_for)."""
    if new.current_term < current.current_term:
        return f"the term would go back from {current.current_term} to {new.current_term}"
    if new.current_term == current.current_term and current.voted_for not in (None, new.voted_for):
        return f"the vote in term {new.current_term} would change from {current.voted_for!r} to {new.voted_for!r}"
    return None


def check_append(
    current: HardState, snapshot_index: int, last_index: int, hard_state: HardState | None, entries: Sequence[Entry]
) -> None:
    """Raise ValueError when an addition to a log can't be right. What a snapshot replaces is never replaced again."""
    problem = None if hard_state is None else hard_state_problem(current, hard_state)
    if problem is not None:
        raise ValueError(problem)
    if not entries:
        return
    expected = entries[0].index
    if not snapshot_index < expected <= last_index + 1:
        raise ValueError(f"entry {expected} can't be added to a log of entries {snapshot_index + 1} to {last_index}")
    for entry in entries:
        if entry.index != expected:
            raise ValueError(f"entry {entry.index} can't follow entry {expected - 1}")
        expected += 1


def check_snapshot(before: int, index: int) -> None:
    """Raise ValueError when a snapshot up to an index can't follow the one before."""
    if index <= before:
        raise ValueError(f"a snapshot up to entry {index} can't follow one up to entry {before}")


def check_compact(snapshot_index: int, index: int) -> None:
    """Raise ValueError when entries up to an index may not go."""
    if index > snapshot_index:
        raise ValueError(f"entries up to {index} can't go: the snapshot replaces those up to {snapshot_index}")


def check_chunk(offset: int, size: int) -> None:
    """Raise ValueError when there can be no such chunk of a snapshot."""
    if offset < 0 or size < 0:
        raise ValueError(f"there is no chunk of {size} bytes at {offset} in a snapshot")


class LogState:
    """Hard state and entries, built up record by record."""

    __slots__ = ("_void_index", "base_index", "base_term", "entries", "hard_state")

    def __init__(self, base_index: int = 0, base_term: int = 0) -> None:
        self.hard_state = HardState()
        self.base_index = base_index  # of the entry before the first one; 0: there is none
        self.base_term = base_term
        self.entries: list[Entry] = []
        self._void_index = 0  # no record can be about an entry up to this one

    @property
    def last_index(self) -> int:
        return self.base_index + len(self.entries)

    @property
    def last_term(self) -> int:
        return self.entries[-1].term if self.entries else self.base_term

    @property
    def is_initial(self) -> bool:
        return self.last_index == 0 and self.hard_state == HardState()

    def term_at(self, index: int) -> int | None:
        """Term of an entry, or of the one before the first; None when the log does not tell."""
        if index == self.base_index:
            return self.base_term
        return self.entries[index - self.base_index - 1].term if self.base_index < index <= self.last_index else None

    def begin_anew(self, index: int, term: int) -> None:
        """Discard all entries, and go on after one that a snapshot replaces."""
        self.base_index = self._void_index = index
        self.base_term = term
        self.entries.clear()

    def compact(self, index: int) -> None:
        """Forget the entries up to an index."""
        term = self.term_at(index)
        if term is not None:
            del self.entries[: index - self.base_index]
            self.base_index, self.base_term = index, term

    def apply(self, value: HardState | Entry) -> str | None:
        """Take in one record's value; returns why it can't be right, None when it can."""
        if isinstance(value, HardState):
            problem = hard_state_problem(self.hard_state, value)
            if problem is None:
                self.hard_state = value
            return problem
        entries = self.entries
        position = value.index - self.base_index - 1
        if position == len(entries):
            entries.append(value)
            return None
        if 0 <= position < len(entries):
            del entries[position:]
            entries.append(value)
            return None
        if self._void_index < value.index <= self.base_index:
            # It replaced entries of segments that are gone. Those before it are gone too: the log begins after it.
            entries.clear()
            self.base_index, self.base_term = value.index, value.term
            return None
        return f"entry {value.index} can't be added to a log of entries {self.base_index + 1} to {self.last_index}"


class LogTerms:
    """Which entry has which term: a pair of numbers for each run of entries of one term, however long the log is."""

    __slots__ = ("_starts", "_terms", "last_index")

    def __init__(self, base_index: int = 0, base_term: int = 0, entries: Sequence[Entry] = ()) -> None:
        self._starts = [base_index]  # of the runs; the first one begins with the entry before the first
        self._terms = [base_term]
        self.last_index = base_index
        self.append(entries)

    @property
    def last_term(self) -> int:
        return self._terms[-1]

    def term_at(self, index: int) -> int | None:
        """Term of an entry, or of the one before the first; None when the log does not tell."""
        if not self._starts[0] <= index <= self.last_index:
            return None
        return self._terms[bisect_right(self._starts, index) - 1]

    def append(self, entries: Sequence[Entry]) -> None:
        """Take in entries; those at and after the first one's index which were there before are replaced."""
        if not entries:
            return
        while self._starts[-1] >= entries[0].index:
            self._starts.pop()
            self._terms.pop()
        term = self._terms[-1]
        for entry in entries:
            if entry.term != term:
                term = entry.term
                self._starts.append(entry.index)
                self._terms.append(term)
        self.last_index = entries[-1].index

    def compact(self, index: int) -> None:
        """Forget the entries up to an index."""
        term = self.term_at(index)
        if term is not None:
            first_kept = bisect_right(self._starts, index)
            self._starts[:first_kept] = [index]
            self._terms[:first_kept] = [term]
