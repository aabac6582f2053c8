"""The state that results from a log's records, and the validation of additions to it."""

from bisect import bisect_right
from collections.abc import Sequence

from raft_pkg.core.types import Entry, HardState


def validate_hard_state(current: HardState, new: HardState) -> str | None:
    """Return why `new` must not follow `current`, None when it may (Figure 2: current_term, voted_for)."""
    if new.current_term < current.current_term:
        return f"the term would decrease from {current.current_term} to {new.current_term}"
    if new.current_term == current.current_term and current.voted_for not in (None, new.voted_for):
        return f"the vote in term {new.current_term} would change from {current.voted_for!r} to {new.voted_for!r}"
    return None


def check_append(
    current: HardState, snapshot_index: int, last_index: int, hard_state: HardState | None, entries: Sequence[Entry]
) -> None:
    """Raise `ValueError` when the hard state or the entries must not be appended to the log."""
    error = None if hard_state is None else validate_hard_state(current, hard_state)
    if error is not None:
        raise ValueError(error)
    if not entries:
        return
    expected = entries[0].index
    if not snapshot_index < expected <= last_index + 1:
        raise ValueError(f"entry {expected} can't be appended to a log of entries {snapshot_index + 1} to {last_index}")
    for entry in entries:
        if entry.index != expected:
            raise ValueError(f"entry {entry.index} can't follow entry {expected - 1}")
        expected += 1


def check_snapshot(previous: int, index: int) -> None:
    """Raise `ValueError` when a snapshot at `index` must not replace the previous one."""
    if index <= previous:
        raise ValueError(f"a snapshot at index {index} can't replace one at index {previous}")


def check_compact(snapshot_index: int, index: int) -> None:
    """Raise `ValueError` when the entries up to `index` must not be removed."""
    if index > snapshot_index:
        raise ValueError(f"entries up to {index} can't be removed: the snapshot replaces those up to {snapshot_index}")


def check_chunk(offset: int, size: int) -> None:
    """Raise `ValueError` when offset or size of a chunk is negative."""
    if offset < 0 or size < 0:
        raise ValueError(f"a chunk of {size} bytes at offset {offset} is not possible")


class LogState:
    """Hard state and entries that result from the records of a log."""

    __slots__ = ("_reset_index", "base_index", "base_term", "entries", "hard_state")

    def __init__(self, base_index: int = 0, base_term: int = 0) -> None:
        self.hard_state = HardState()
        self.base_index = base_index  # of the entry before the first one; 0 at the beginning of the log
        self.base_term = base_term
        self.entries: list[Entry] = []
        self._reset_index = 0  # records for entries up to this index are invalid

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
        """Return the term of an entry or of the one before the first, None when it is not known."""
        if index == self.base_index:
            return self.base_term
        return self.entries[index - self.base_index - 1].term if self.base_index < index <= self.last_index else None

    def reset(self, index: int, term: int) -> None:
        """Discard all entries; the log continues after an entry that a snapshot replaces."""
        self.base_index = self._reset_index = index
        self.base_term = term
        self.entries.clear()

    def compact(self, index: int) -> None:
        """Discard the entries up to `index`."""
        term = self.term_at(index)
        if term is not None:
            del self.entries[: index - self.base_index]
            self.base_index, self.base_term = index, term

    def apply(self, value: HardState | Entry) -> str | None:
        """Apply the value of the next record; return why it is invalid, None when it is valid."""
        if isinstance(value, HardState):
            error = validate_hard_state(self.hard_state, value)
            if error is None:
                self.hard_state = value
            return error
        entries = self.entries
        position = value.index - self.base_index - 1
        if position == len(entries):
            entries.append(value)
            return None
        if 0 <= position < len(entries):
            del entries[position:]
            entries.append(value)
            return None
        if self._reset_index < value.index <= self.base_index:
            # It replaced entries of removed segments. Those before it were removed too: the log starts after it.
            entries.clear()
            self.base_index, self.base_term = value.index, value.term
            return None
        return f"entry {value.index} can't be appended to a log of entries {self.base_index + 1} to {self.last_index}"


class LogTerms:
    """The terms of a log's entries, stored as one pair of numbers per run of entries with the same term."""

    __slots__ = ("_starts", "_terms", "last_index")

    def __init__(self, base_index: int = 0, base_term: int = 0, entries: Sequence[Entry] = ()) -> None:
        self._starts = [base_index]  # of the runs; the first run starts with the entry before the first
        self._terms = [base_term]
        self.last_index = base_index
        self.append(entries)

    @property
    def last_term(self) -> int:
        return self._terms[-1]

    def term_at(self, index: int) -> int | None:
        """Return the term of an entry or of the one before the first, None when it is not known."""
        if not self._starts[0] <= index <= self.last_index:
            return None
        return self._terms[bisect_right(self._starts, index) - 1]

    def append(self, entries: Sequence[Entry]) -> None:
        """Append entries; they replace existing ones from the first index on."""
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
        """Discard the entries up to `index`."""
        term = self.term_at(index)
        if term is not None:
            first_kept = bisect_right(self._starts, index)
            self._starts[:first_kept] = [index]
            self._terms[:first_kept] = [term]
