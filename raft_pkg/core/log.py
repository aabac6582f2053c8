"""The log as the protocol sees it: entries in memory, in order, without gaps (paper, Figure 2 and §5.3)."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import attrgetter

from raft_pkg.core.types import Entry

_term = attrgetter("term")


class RaftLog:
    """Consecutive entries from `first_index` on.

    Index 0 with term 0 stands for the empty log, so that the very first entry has a predecessor too.
    """

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        for position, entry in enumerate(entries, start=1):
            if entry.index != position:
                raise ValueError(f"entry {position} of the log says that its index is {entry.index}")
        self._entries = list(entries)
        self._first_index = 1

    @property
    def first_index(self) -> int:
        """Index of the oldest entry that is kept."""
        return self._first_index

    @property
    def last_index(self) -> int:
        """Index of the newest entry; 0 for an empty log."""
        return self._first_index + len(self._entries) - 1

    @property
    def last_term(self) -> int:
        """Term of the newest entry; 0 for an empty log."""
        return self._entries[-1].term if self._entries else 0

    def term_at(self, index: int) -> int | None:
        """Term of the entry at `index`; 0 for index 0; None where the log holds no entry."""
        if index == 0:
            return 0
        position = index - self._first_index
        return self._entries[position].term if 0 <= position < len(self._entries) else None

    def slice(self, start: int, stop: int) -> list[Entry]:
        """Entries from `start` up to, not including, `stop`."""
        return self._entries[start - self._first_index : stop - self._first_index]

    def slice_bytes(self, start: int, bytes_max: int) -> tuple[Entry, ...]:
        """Entries from `start` on until their data reach `bytes_max`; at least one if there is one."""
        total = 0
        stop = start
        while stop <= self.last_index and total < bytes_max:
            total += len(self._entries[stop - self._first_index].data)
            stop += 1
        return tuple(self.slice(start, stop))

    def append(self, entry: Entry) -> None:
        """Add one entry; its index must be the next."""
        if entry.index != self.last_index + 1:
            raise ValueError(f"entry {entry.index} can't follow entry {self.last_index}")
        self._entries.append(entry)

    def truncate_from(self, index: int) -> None:
        """Take away the entry at `index` and all that follow it."""
        del self._entries[index - self._first_index :]

    def first_index_of_term_at(self, index: int) -> int:
        """First index of the run of entries that have the same term as the one at `index` (§5.3)."""
        term = self.term_at(index) or 0
        return self._first_index + bisect_left(self._entries, term, key=_term)

    def last_index_of_term(self, term: int) -> int | None:
        """Last index whose entry has `term`; None when there is none. Terms never decrease along a log."""
        position = bisect_right(self._entries, term, key=_term) - 1
        return self._first_index + position if position >= 0 and self._entries[position].term == term else None

    def is_up_to_date(self, last_log_index: int, last_log_term: int) -> bool:
        """Whether a log that ends so is at least as up to date as this one (§5.4.1)."""
        return (last_log_term, last_log_index) >= (self.last_term, self.last_index)
