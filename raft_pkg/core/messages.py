"""Messages between nodes (paper, Figure 2), as immutable values; `raft.proto` has their wire format."""

from dataclasses import dataclass

from raft_pkg.core.types import Entry, SnapshotMetadata


@dataclass(frozen=True, slots=True)
class PreVote:
    """Asks whether the sender would get a vote in `next_term`, before it begins that term (dissertation §9.6)."""

    next_term: int
    last_log_index: int
    last_log_term: int


@dataclass(frozen=True, slots=True)
class PreVoteReply:
    """Reply to `PreVote`; it does not bind the voter."""

    next_term: int
    vote_granted: bool


@dataclass(frozen=True, slots=True)
class RequestVote:
    """Asks for a vote (§5.2); the last entry states how up to date the candidate's log is (§5.4.1).

    `leadership_transfer`: the leader itself ordered this election, so that voters vote even if they had a recent
    message from it (dissertation §3.10, §4.2.3).
    """

    last_log_index: int
    last_log_term: int
    leadership_transfer: bool = False


@dataclass(frozen=True, slots=True)
class RequestVoteReply:
    """Reply to `RequestVote`; the vote counts in the term of the message."""

    vote_granted: bool


@dataclass(frozen=True, slots=True)
class AppendEntries:
    """Replicates entries; without entries it is a heartbeat (§5.2, §5.3).

    `read_round` numbers the leader's rounds of heartbeats for reads (dissertation §6.4). `leased`: a reply extends the
    leader's lease, so the follower must not help to replace the leader before an election time-out (§6.4.1).
    """

    prev_log_index: int
    prev_log_term: int
    entries: tuple[Entry, ...]
    leader_commit: int
    read_round: int
    leased: bool = False


@dataclass(frozen=True, slots=True)
class AppendEntriesReply:
    """Reply to `AppendEntries`, with the fast back-up of nextIndex that §5.3 suggests.

    On success, `match_index` is the last index up to which the log matches the leader's. On rejection, `rejected_index`
    is the prev_log_index that did not match, `conflict_term` the term of the entry there (0: the log is shorter), and
    `conflict_index` the first index of that term (or one past the end of the log).
    """

    success: bool
    match_index: int = 0
    rejected_index: int = 0
    conflict_term: int = 0
    conflict_index: int = 0
    read_round: int = 0


@dataclass(frozen=True, slots=True)
class TimeoutNow:
    """Orders the transfer target to start an election at once (dissertation §3.10)."""


@dataclass(frozen=True, slots=True)
class InstallSnapshot:
    """Sends a chunk of a snapshot to a follower that lacks entries which the leader has compacted (§7, Figure 13).

    Without data it is a heartbeat that asks for the follower's offset. `read_round` and `leased` are as in
    `AppendEntries`.
    """

    metadata: SnapshotMetadata
    offset: int
    data: bytes
    read_round: int
    leased: bool = False


@dataclass(frozen=True, slots=True)
class InstallSnapshotReply:
    """Reply to `InstallSnapshot`: the snapshot is on disk up to `next_offset`.

    If that is its size, the follower's log matches up to `index`: it has installed the snapshot, or had the entries.
    """

    index: int
    next_offset: int
    read_round: int = 0


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """Asks the leader for the read index of the reads that the sender has received before (dissertation §6.4)."""

    request_id: int


@dataclass(frozen=True, slots=True)
class ReadIndexReply:
    """Reply to `ReadIndex`; index 0 if the sender does not lead."""

    request_id: int
    index: int


@dataclass(frozen=True, slots=True)
class Discovery:
    """A handshake by which nodes find their cluster before they are members of it.

    `uninitialized`: the sender has no log, and has voted for no node. `peers`: its bootstrap peers, sorted. `address`:
    where it accepts connections. A reply (`is_reply`) repeats the `challenge` of its request. `leader` and
    `leader_address`: the leader that the sender follows, empty if it knows none.
    """

    uninitialized: bool
    peers: tuple[str, ...]
    address: str
    is_reply: bool = False
    leader: str = ""
    leader_address: str = ""
    challenge: int = 0


Request = PreVote | RequestVote | AppendEntries | InstallSnapshot | ReadIndex | TimeoutNow
Reply = PreVoteReply | RequestVoteReply | AppendEntriesReply | InstallSnapshotReply | ReadIndexReply
Body = Request | Reply | Discovery


@dataclass(frozen=True, slots=True)
class Message:
    """A body with sender, recipient, and the sender's current term (§5.1).

    Incarnations tell apart the nodes that have used one identity: a node that lost its disk has a new incarnation.
    """

    sender: str
    recipient: str
    term: int
    body: Body
    sender_incarnation: int = 0
    recipient_incarnation: int = 0
    """0 in a `Discovery` that addresses any incarnation."""
