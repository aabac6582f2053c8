"""What the server needs of a storage: the state of Figures 2 and 13 that survives a crash, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.types import Entry, HardState, SnapshotMetadata


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a storage held when it was opened.

    `entries` are consecutive; `base_index` and `base_term` are those of the entry before the first of them, both 0 at
    the very beginning of a log. With a snapshot, its index is at least `base_index`, and if it is past the last entry
    there are none. `torn_bytes` counts the bytes of a last record that a crash had cut short, and that opening the
    storage cut off: nothing in them had been promised to anybody. `incarnation` was drawn when the storage was used
    for the first time, is not 0, and never changes: another disk has another one.
    """

    hard_state: HardState
    entries: list[Entry]
    torn_bytes: int
    incarnation: int
    base_index: int = 0
    base_term: int = 0
    snapshot: SnapshotMetadata | None = None


class SnapshotWriter(Protocol):
    """A snapshot on its way to disk. It counts for nothing before `commit`, and a crash leaves nothing of it."""

    @property
    def size(self) -> int:
        """Bytes written so far."""
        ...

    def write(self, data: bytes) -> None:
        """Add bytes, and make them durable: called with chunks of up to a MiB, so that no call takes long."""
        ...

    def commit(self) -> SnapshotMetadata:
        """Make this the storage's snapshot, durably and at once; the one before is removed.

        If the log has no entry of the snapshot's index and term, all of it is discarded and goes on after the
        snapshot (Figure 13, InstallSnapshot, steps 6 and 7); otherwise it stays as it is until `Storage.compact`.
        The snapshot's index must be greater than that of the one before.
        """
        ...

    def discard(self) -> None:
        """Give it up; nothing is left of it. Idempotent, and without effect after `commit`."""
        ...


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

        The entries are consecutive; the first one's index is at most one past the end of the log, and greater than
        the snapshot's. Entries at and after that index which were there before are replaced (paper, Figure 2,
        AppendEntries receiver, step 3).
        """
        ...

    def sync(self) -> None:
        """Make everything appended so far durable; returns only when it is."""
        ...

    def begin_snapshot(self, index: int, term: int, configuration: Configuration) -> SnapshotWriter:
        """Begin to write a snapshot up to `index`; one at a time, besides appends."""
        ...

    def read_snapshot(self, offset: int, size: int) -> bytes:
        """Bytes of the newest snapshot's data from an offset on; fewer than `size` only at its end."""
        ...

    def compact(self, index: int) -> None:
        """Entries up to and including `index`, which is at most the snapshot's, may go; frees what can be freed.

        What is left on disk is a matter of the storage (whole segments); a restart may find some of them again.
        """
        ...

    def close(self) -> None:
        """Let go of files and locks. Idempotent."""
        ...
