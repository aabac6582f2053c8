"""The log in memory (paper, Figure 2, §5.3 and §7)."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import attrgetter

from raft_pkg.core.types import Entry

_term = attrgetter("term")


class RaftLog:
    """Consecutive entries after a base, the newest compacted entry (§7).

    The base of a log without compacted entries has index 0 and term 0.
    """

    def __init__(self, entries: Sequence[Entry] = (), *, base_index: int = 0, base_term: int = 0) -> None:
        """Raise `ValueError` if the entries are not consecutive from `base_index` + 1."""
        for position, entry in enumerate(entries, start=base_index + 1):
            if entry.index != position:
                raise ValueError(f"expected index {position} in the log, found {entry.index}")
        self._entries = list(entries)
        self._first_index = base_index + 1
        self._base_term = base_term

    @property
    def first_index(self) -> int:
        """Index of the oldest entry that is not compacted."""
        return self._first_index

    @property
    def base_index(self) -> int:
        """Index of the newest compacted entry, or 0."""
        return self._first_index - 1

    @property
    def last_index(self) -> int:
        """Index of the newest entry, or of the base if there is none."""
        return self._first_index + len(self._entries) - 1

    @property
    def last_term(self) -> int:
        """Term of the newest entry, or of the base if there is none."""
        return self._entries[-1].term if self._entries else self._base_term

    def term_at(self, index: int) -> int | None:
        """Return the term of the entry at `index`, which may be the base; None if there is no entry."""
        position = index - self._first_index
        if position == -1:
            return self._base_term
        return self._entries[position].term if 0 <= position < len(self._entries) else None

    def entry_at(self, index: int) -> Entry:
        """Return the entry at `index`, which must exist."""
        return self._entries[index - self._first_index]

    def slice(self, start: int, stop: int) -> list[Entry]:
        """Return the entries from `start` up to, but not including, `stop`."""
        return self._entries[start - self._first_index : stop - self._first_index]

    def slice_bytes(self, start: int, bytes_max: int) -> tuple[Entry, ...]:
        """Return the entries from `start` until their data reach `bytes_max`, at least one unless `bytes_max` is 0."""
        total = 0
        stop = start
        while stop <= self.last_index and total < bytes_max:
            total += len(self._entries[stop - self._first_index].data)
            stop += 1
        return tuple(self.slice(start, stop))

    def append(self, entry: Entry) -> None:
        """Append an entry. Raise `ValueError` if its index is not the next one."""
        if entry.index != self.last_index + 1:
            raise ValueError(f"cannot append entry {entry.index} after entry {self.last_index}")
        self._entries.append(entry)

    def truncate_from(self, index: int) -> None:
        """Remove the entry at `index` and all that follow it."""
        del self._entries[index - self._first_index :]

    def compact(self, index: int) -> None:
        """Remove the entries up to and including `index`. Raise `ValueError` if there is no such entry."""
        term = self.term_at(index)
        if term is None:
            raise ValueError(f"cannot compact entries {self._first_index} to {self.last_index} up to {index}")
        del self._entries[: index + 1 - self._first_index]
        self._first_index, self._base_term = index + 1, term

    def reset(self, index: int, term: int) -> None:
        """Remove all entries, and continue after `index`, the last one that a snapshot covers (Figure 13)."""
        self._entries.clear()
        self._first_index, self._base_term = index + 1, term

    def tail_base(self, index: int, entries_max: int, bytes_max: int) -> int:
        """Return up to which index to compact, so that a tail of the entries up to `index` remains."""
        kept = size = 0
        while kept < entries_max and index - kept > self.base_index:
            size += len(self.entry_at(index - kept).data)
            if size > bytes_max:
                break
            kept += 1
        return index - kept

    def first_index_of_term_at(self, index: int) -> int:
        """Return the first index of the term that the entry at `index` has (§5.3)."""
        term = self.term_at(index) or 0
        return self._first_index + bisect_left(self._entries, term, key=_term)

    def last_index_of_term(self, term: int) -> int | None:
        """Return the last index of `term`, or None if no entry has it. Terms never decrease along a log."""
        position = bisect_right(self._entries, term, key=_term) - 1
        return self._first_index + position if position >= 0 and self._entries[position].term == term else None

    def is_up_to_date(self, last_log_index: int, last_log_term: int) -> bool:
        """Return whether a log with this last entry is at least as up to date as this one (§5.4.1)."""
        return (last_log_term, last_log_index) >= (self.last_term, self.last_index)
