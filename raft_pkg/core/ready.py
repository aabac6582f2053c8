"""What `Raft` hands to its caller: the work to do (`Ready`) and the events to report."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.messages import InstallSnapshot, Message
from raft_pkg.core.types import Entry, HardState, SnapshotMetadata


@dataclass(frozen=True, slots=True)
class PreVoteStarted:
    """The election timer expired; this node asks whether it could win an election (dissertation §9.6)."""

    term: int
    votes_needed: int


@dataclass(frozen=True, slots=True)
class TransferStarted:
    """This leader is transferring leadership, and accepts no proposals meanwhile (dissertation §3.10)."""

    term: int
    target: str


@dataclass(frozen=True, slots=True)
class TransferAborted:
    """The target did not become leader in time; this leader continues."""

    term: int
    target: str


@dataclass(frozen=True, slots=True)
class ElectionStarted:
    """This node became a candidate (§5.2)."""

    term: int
    votes_needed: int


@dataclass(frozen=True, slots=True)
class VoteGranted:
    """This node voted for a candidate in this term (§5.2)."""

    term: int
    candidate: str


@dataclass(frozen=True, slots=True)
class BecameLeader:
    """This node won the election of this term (§5.2)."""

    term: int
    last_log_index: int
    votes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BecameFollower:
    """This node stopped being the leader or a candidate."""

    term: int
    leader: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class LeaderChanged:
    """This node follows another leader than before; None if it knows none."""

    term: int
    leader: str | None


@dataclass(frozen=True, slots=True)
class ConfigurationChanged:
    """Another configuration of this node's log took effect, committed or not (§6)."""

    term: int
    index: int
    configuration: Configuration


@dataclass(frozen=True, slots=True)
class ConfigurationCommitted:
    """The leader committed the last configuration of a membership change."""

    term: int
    index: int


@dataclass(frozen=True, slots=True)
class ConfigurationChangeFailed:
    """A membership change that this leader had accepted failed; nothing was changed."""

    term: int
    reason: str


RaftEvent = (
    PreVoteStarted
    | ElectionStarted
    | VoteGranted
    | BecameLeader
    | BecameFollower
    | LeaderChanged
    | TransferStarted
    | TransferAborted
    | ConfigurationChanged
    | ConfigurationCommitted
    | ConfigurationChangeFailed
)


@dataclass(frozen=True, slots=True)
class SnapshotChunk:
    """A chunk of the leader's snapshot; chunks come in order, and offset 0 begins a new snapshot."""

    metadata: SnapshotMetadata
    offset: int
    data: bytes

    @property
    def is_last(self) -> bool:
        """Whether the snapshot is complete: it then replaces the log and the state machine's state (Figure 13)."""
        return self.offset + len(self.data) == self.metadata.size


@dataclass(slots=True)
class Ready:
    """The work that the caller has to do, in this order:

    1. use `addresses` (None: unchanged), and send `early_messages`, which do not depend on this node's disk, so that
       they may be sent before or during the write;
    2. write `hard_state` (None: unchanged), `chunks` and `entries`, which replace existing entries at their indexes.
       Restore the state machine after the last chunk of a snapshot. Send `snapshot_messages` with data from the newest
       snapshot;
    3. sync, and call `Raft.synced`;
    4. send `messages`, which depend on the write of step 2 or an earlier one;
    5. apply `committed` to the state machine, in order;
    6. serve each of `reads` once its index is applied, and fail the `failed_reads`: clients may retry them.
    """

    hard_state: HardState | None = None
    chunks: list[SnapshotChunk] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    addresses: Mapping[str, str] | None = None
    """Identity to HOST:PORT of the nodes that this node may have to reach."""
    early_messages: list[Message] = field(default_factory=list)
    snapshot_messages: list[tuple[Message, InstallSnapshot]] = field(default_factory=list)
    """Messages with their bodies, to be filled with up to `RaftConfig.snapshot_chunk_bytes` from the body's offset."""
    messages: list[Message] = field(default_factory=list)
    committed: list[Entry] = field(default_factory=list)
    reads: list[tuple[int, int]] = field(default_factory=list)
    """Pairs of a request id and the index that must be applied before the read is served."""
    failed_reads: list[int] = field(default_factory=list)
    """Request ids."""
    raft_events: list[RaftEvent] = field(default_factory=list)
