"""What the server needs of a storage: the state of Figure 2 that survives a crash, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from raft_pkg.core.types import Entry, HardState


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a storage held when it was opened.

    `entries` are consecutive from index 1 on. `torn_bytes` counts the bytes of a last record that a crash had cut
    short, and that opening the storage cut off: nothing in them had been promised to anybody.
    """

    hard_state: HardState
    entries: list[Entry]
    torn_bytes: int


class Storage(Protocol):
    """The persistent state of one node. Used by one task of one process at a time.

    After any method raised `StorageError` the storage is unusable: what is on disk is not known any more, and the
    node must stop (an fsync that failed once may report success the next time without having written).
    """

    def recover(self) -> Recovered:
        """Read everything back. Called once, before anything else."""
        ...

    def append(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Write a new term and vote (None: unchanged) and entries; durable only after `sync`.

        The entries are consecutive; the first one's index is at most one past the end of the log. Entries at and
        after that index which were there before are replaced (paper, Figure 2, AppendEntries receiver, step 3).
        """
        ...

    def sync(self) -> None:
        """Make everything appended so far durable; returns only when it is."""
        ...

    def close(self) -> None:
        """Let go of files and locks. Idempotent."""
        ...
