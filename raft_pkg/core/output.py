"""What the core asks of the loop that drives it, and what it tells."""

from dataclasses import dataclass, field

from raft_pkg.core.messages import Message
from raft_pkg.core.types import Entry, HardState


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
class TransferEnded:
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


Notice = (
    PreVoteStarted
    | ElectionStarted
    | VoteGranted
    | BecameLeader
    | BecameFollower
    | LeaderChanged
    | TransferStarted
    | TransferEnded
)


@dataclass(slots=True)
class Output:
    """What is to be done, in this order:

    1. write `hard_state` (None: unchanged) and `entries`, which replace what stood at their indexes;
    2. send `early_messages`: they promise nothing of this node's disk, so they may leave during the write;
    3. sync, then tell the core with `Raft.synced`;
    4. send `messages`: each promises what was written in step 1, or before;
    5. apply `committed` to the state machine, in order;
    6. once `index` is applied, answer the reads of `reads`; tell the callers of `failed_reads` to ask elsewhere.
    """

    hard_state: HardState | None = None
    entries: list[Entry] = field(default_factory=list)
    early_messages: list[Message] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    committed: list[Entry] = field(default_factory=list)
    reads: list[tuple[int, int]] = field(default_factory=list)
    """Pairs of a read's number and the index that must be applied before it is answered."""
    failed_reads: list[int] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
