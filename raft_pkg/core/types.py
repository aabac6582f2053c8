"""The values that the Raft paper names, as immutable data: what is in the log and what must be on disk."""

from dataclasses import dataclass
from enum import Enum, IntEnum

from raft_pkg.core.configuration import Configuration


class Role(Enum):
    """What a node is in its current term (paper, Figure 4; dissertation §9.6 for the pre-candidate)."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre_candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class EntryKind(IntEnum):
    """What an entry's data holds; the numbers are those of `EntryKind` in raft.proto and of the log on disk."""

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
    """The part of a node's state that must be on disk before any message that promises it (paper, Figure 2)."""

    current_term: int = 0
    voted_for: str | None = None


@dataclass(frozen=True, slots=True)
class SnapshotMetadata:
    """What a snapshot of the state machine stands for (paper §7, Figure 13). Equal metadata, equal bytes."""

    index: int
    """Last index that the snapshot replaces (lastIncludedIndex)."""
    term: int
    """Term of the entry there (lastIncludedTerm)."""
    configuration: Configuration
    """The newest configuration up to that index."""
    size: int
    """Bytes of the state machine's data."""
    checksum: int
    """CRC-32 (zlib's) of these bytes."""
