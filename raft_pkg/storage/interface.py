"""The storage of one node: the persistent state of Figures 2 and 13 (paper), and nothing else."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.types import Entry, HardState, SnapshotMetadata


@dataclass(frozen=True, slots=True)
class Recovered:
    """The persistent state that was found when a storage was opened.

    `entries` are consecutive. `base_index` and `base_term` are index and term of the entry before the first one, both 0
    at the beginning of a log. When there is a `snapshot`, its index is at least `base_index`, and `entries` is empty if
    the index is past the last entry. `torn_bytes` is the length of the torn write that recovery cut off; none of it had
    been synced. `incarnation` identifies the disk: it is drawn when the storage is first used, never 0, and constant.
    """

    hard_state: HardState
    entries: list[Entry]
    torn_bytes: int
    incarnation: int
    base_index: int = 0
    base_term: int = 0
    snapshot: SnapshotMetadata | None = None


class SnapshotWriter(Protocol):
    """Writes a new snapshot. It takes effect with `commit`; a crash before that leaves nothing of it."""

    @property
    def size(self) -> int:
        """Number of bytes written so far."""
        ...

    def write(self, data: bytes) -> None:
        """Append data durably. Pass at most 1 MiB, so that no call takes long."""
        ...

    def commit(self) -> SnapshotMetadata:
        """Replace the storage's snapshot by this one, durably and atomically.

        The index must exceed that of the previous snapshot. If the log has no entry with the snapshot's index and term,
        the whole log is discarded and continues after the snapshot (Figure 13, InstallSnapshot, steps 6 and 7).
        Otherwise the log is unchanged until `Storage.compact`.
        """
        ...

    def discard(self) -> None:
        """Abandon the snapshot and remove what was written. Idempotent; no effect after `commit`."""
        ...


class Storage(Protocol):
    """The persistent state of one node. Used by one task of one process at a time.

    After a method has raised `StorageError`, the storage is unusable and the node must stop: what is on disk is unknown
    (an fsync that is retried after a failure may report success without having written anything).
    """

    def recover(self) -> Recovered:
        """Read the persistent state. Must be called once, before all other methods."""
        ...

    def append(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Write term and vote (None: unchanged) and entries. They are durable only after `sync`.

        The entries are consecutive. The first index is greater than the snapshot's, and at most one past the end of the
        log. Existing entries from that index on are replaced (Figure 2, AppendEntries receiver, step 3).
        """
        ...

    def sync(self) -> None:
        """Return when all appended data is durable."""
        ...

    def begin_snapshot(self, index: int, term: int, configuration: Configuration) -> SnapshotWriter:
        """Begin a snapshot that replaces the entries up to `index`. At most one is written at a time."""
        ...

    def read_snapshot(self, offset: int, size: int) -> bytes:
        """Return `size` bytes of the snapshot's data from `offset` on; fewer only at the end."""
        ...

    def compact(self, index: int) -> None:
        """Allow the removal of entries up to and including `index`, which must not exceed the snapshot's.

        Space is freed at the storage's granularity, such as whole segments. A later `recover` may return some of the
        entries again.
        """
        ...

    def close(self) -> None:
        """Release files and locks. Idempotent."""
        ...


def random_incarnation() -> int:
    """Return an incarnation: unpredictable, not 0, below 2**63, and unique for all practical purposes."""
    return secrets.randbelow((1 << 63) - 1) + 1
