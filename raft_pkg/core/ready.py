"""What the core asks of the loop that drives it, and what it tells."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.messages import InstallSnapshot, Message
from raft_pkg.core.types import Entry, HardState, SnapshotMetadata


@dataclass(frozen=True, slots=True)
class PreVoteStarted:
    """This node has missed its leader and asks whether an election could be won (dissertation §9.6)."""

    term: int
    votes_needed: int


@dataclass(frozen=True, slots=True)
class TransferStarted:
    """This leader hands leadership over and takes no proposals meanwhile (dissertation §3.10)."""

    term: int
    target: str


@dataclass(frozen=True, slots=True)
class TransferAborted:
    """The target did not take over in time; this leader goes on."""

    term: int
    target: str


@dataclass(frozen=True, slots=True)
class ElectionStarted:
    """This node became a candidate (§5.2)."""

    term: int
    votes_needed: int


@dataclass(frozen=True, slots=True)
class VoteGranted:
    """This node gave its vote of this term to a candidate (§5.2)."""

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
    """This node gave up being a candidate or the leader."""

    term: int
    leader: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class LeaderChanged:
    """This node follows another leader than before; None: it knows of none."""

    term: int
    leader: str | None


@dataclass(frozen=True, slots=True)
class ConfigurationChanged:
    """This node goes by another configuration from now on: one of its log, committed or not (§6)."""

    term: int
    index: int
    configuration: Configuration


@dataclass(frozen=True, slots=True)
class ChangeCompleted:
    """The last configuration of a change of members is committed; told by the leader that committed it."""

    term: int
    index: int


@dataclass(frozen=True, slots=True)
class ChangeFailed:
    """A change of members that this leader was to make has come to nothing, and changed nothing."""

    term: int
    why: str


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
    | ChangeCompleted
    | ChangeFailed
)


@dataclass(frozen=True, slots=True)
class SnapshotChunk:
    """A chunk of a leader's snapshot that this follower is to keep, in order; the first one begins a new snapshot."""

    metadata: SnapshotMetadata
    offset: int
    data: bytes

    @property
    def is_last(self) -> bool:
        """Whether the snapshot is complete with it: it replaces the log and the state machine's state (Figure 13)."""
        return self.offset + len(self.data) == self.metadata.size


@dataclass(slots=True)
class Ready:
    """What is to be done, in this order:

    1. take `addresses` over (None: unchanged); send `early_messages`, which promise nothing of this node's disk, so
       they may leave before the write, and during it;
    2. write `hard_state` (None: unchanged), then `chunks`, then `entries`, which replace what stood at their indexes;
       with a piece that is the last one, the state machine is restored from the snapshot. Send `snapshot_messages`,
       after filling their data in from the newest snapshot;
    3. sync, then tell the core with `Raft.synced`;
    4. send `messages`: each promises what was written in step 2, or before;
    5. apply `committed` to the state machine, in order;
    6. once `index` is applied, answer the reads of `reads`; tell the callers of `failed_reads` to ask elsewhere.
    """

    hard_state: HardState | None = None
    chunks: list[SnapshotChunk] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    addresses: Mapping[str, str] | None = None
    """Identity to HOST:PORT of all that this node may want to reach."""
    early_messages: list[Message] = field(default_factory=list)
    snapshot_messages: list[tuple[Message, InstallSnapshot]] = field(default_factory=list)
    """Messages with their bodies: at most `RaftConfig.snapshot_chunk_bytes` of data belong in, from the offset on."""
    messages: list[Message] = field(default_factory=list)
    committed: list[Entry] = field(default_factory=list)
    reads: list[tuple[int, int]] = field(default_factory=list)
    """Pairs of a read's number and the index that must be applied before it is answered."""
    failed_reads: list[int] = field(default_factory=list)
    raft_events: list[RaftEvent] = field(default_factory=list)
