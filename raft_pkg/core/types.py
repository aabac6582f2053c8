"""Immutable values of the Raft paper: roles, log entries, hard state and snapshot metadata."""

from dataclasses import dataclass
from enum import Enum, IntEnum

from raft_pkg.core.configuration import Configuration


class Role(Enum):
    """Role of a node in its current term (paper, Figure 4; dissertation §9.6 for the pre-candidate)."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre_candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class EntryKind(IntEnum):
    """Type of an entry; the numbers are those of `EntryKind` in raft.proto and of the log on disk."""

    NOOP = 1
    CONFIGURATION = 3
    OPEN_SESSION = 4
    COMMANDS = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """One log entry (paper, Figure 2). `data` is opaque to the core."""

    index: int
    term: int
    kind: EntryKind
    data: bytes


@dataclass(frozen=True, slots=True)
class HardState:
    """State that must be durable before any message that depends on it is sent (paper, Figure 2)."""

    current_term: int = 0
    voted_for: str | None = None


@dataclass(frozen=True, slots=True)
class SnapshotMetadata:
    """Description of a snapshot (paper §7, Figure 13). Snapshots with equal metadata have equal bytes."""

    index: int
    """Index of the last entry that the snapshot covers (lastIncludedIndex)."""
    term: int
    """Term of that entry (lastIncludedTerm)."""
    configuration: Configuration
    """The newest configuration up to `index`."""
    size: int
    """Size of the state machine's data in bytes."""
    checksum: int
    """CRC-32 (zlib) of these bytes."""
