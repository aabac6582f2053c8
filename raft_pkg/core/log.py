"""The log as the protocol sees it: entries in memory, in order, without gaps (paper, Figure 2, §5.3 and §7)."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import attrgetter

from raft_pkg.core.types import Entry

_term = attrgetter("term")


class RaftLog:
    """Consecutive entries after a base: what was before has been compacted away (§7).

    Index 0 with term 0 stands for the empty log, so that the very first entry has a predecessor too.
    """

    def __init__(self, entries: Sequence[Entry] = (), *, base_index: int = 0, base_term: int = 0) -> None:
        """Raises `ValueError` when the entries are not consecutive from `base_index` + 1 on."""
        for position, entry in enumerate(entries, start=base_index + 1):
            if entry.index != position:
                raise ValueError(f"entry {position} of the log says that its index is {entry.index}")
        self._entries = list(entries)
        self._first_index = base_index + 1
        self._base_term = base_term

    @property
    def first_index(self) -> int:
        """Index of the oldest entry that is kept."""
        return self._first_index

    @property
    def base_index(self) -> int:
        """Index of the newest entry that was compacted away; 0: none was."""
        return self._first_index - 1

    @property
    def last_index(self) -> int:
        """Index of the newest entry; that of the base where no entry is kept."""
        return self._first_index + len(self._entries) - 1

    @property
    def last_term(self) -> int:
        """Term of the newest entry; that of the base where no entry is kept."""
        return self._entries[-1].term if self._entries else self._base_term

    def term_at(self, index: int) -> int | None:
        """Term of the entry at `index`, also of the base; None where the log holds no entry."""
        position = index - self._first_index
        if position == -1:
            return self._base_term
        return self._entries[position].term if 0 <= position < len(self._entries) else None

    def entry_at(self, index: int) -> Entry:
        """The entry at `index`, which must be there."""
        return self._entries[index - self._first_index]

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

    def compact(self, index: int) -> None:
        """Forget the entries up to and including `index`, which must be there."""
        term = self.term_at(index)
        if term is None:
            raise ValueError(f"a log of entries {self._first_index} to {self.last_index} can't begin after {index}")
        del self._entries[: index + 1 - self._first_index]
        self._first_index, self._base_term = index + 1, term

    def reset(self, index: int, term: int) -> None:
        """Forget everything, and go on after the entry at `index`, which a snapshot stands for (Figure 13)."""
        self._entries.clear()
        self._first_index, self._base_term = index + 1, term

    def tail(self, index: int, entries_max: int, bytes_max: int) -> int:
        """The least index that may be compacted when everything up to `index` could be, so that a tail remains."""
        kept = size = 0
        while kept < entries_max and index - kept > self.base_index:
            size += len(self.entry_at(index - kept).data)
            if size > bytes_max:
                break
            kept += 1
        return index - kept

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
