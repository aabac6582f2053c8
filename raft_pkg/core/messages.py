"""What nodes say to each other (paper, Figure 2), as immutable data. `raft.proto` has the same on the wire."""

from dataclasses import dataclass

from raft_pkg.core.types import Entry, SnapshotMetadata


@dataclass(frozen=True, slots=True)
class PreVote:
    """A node asks whether it would get a vote in `next_term`, before it begins that term (dissertation §9.6)."""

    next_term: int
    last_log_index: int
    last_log_term: int


@dataclass(frozen=True, slots=True)
class PreVoteReply:
    """The answer; it promises nothing."""

    next_term: int
    vote_granted: bool


@dataclass(frozen=True, slots=True)
class RequestVote:
    """A candidate asks for a vote (§5.2); its last entry shows how up to date its log is (§5.4.1).

    `leadership_transfer`: the leader itself ordered this election, so nobody protects it (dissertation §3.10, §4.2.3).
    """

    last_log_index: int
    last_log_term: int
    leadership_transfer: bool = False


@dataclass(frozen=True, slots=True)
class RequestVoteReply:
    """The answer; a vote is for the term of the message."""

    vote_granted: bool


@dataclass(frozen=True, slots=True)
class AppendEntries:
    """A leader replicates entries, or with none of them says that it is alive (§5.2, §5.3).

    `read_round` numbers the leader's checks of its own leadership for reads (dissertation §6.4). `leased`: who answers
    lets the leader answer reads by its lease, and helps nobody to replace it before the time is up (§6.4.1).
    """

    prev_log_index: int
    prev_log_term: int
    entries: tuple[Entry, ...]
    leader_commit: int
    read_round: int
    leased: bool = False


@dataclass(frozen=True, slots=True)
class AppendEntriesReply:
    """The answer, with what §5.3 suggests for a fast back-up of nextIndex.

    On success, `match_index` is the last index known to equal the leader's log. On refusal, `rejected_index` is the
    prev_log_index that did not match, `conflict_term` the term of the entry found there (0: the log is shorter) and
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
    """The leader hands over: begin an election at once (dissertation §3.10)."""


@dataclass(frozen=True, slots=True)
class InstallSnapshot:
    """A leader sends a piece of its snapshot to a follower that lacks what its log no longer has (§7, Figure 13).

    One without data is a heartbeat, and asks how far the follower has come. `read_round` and `leased` as in
    `AppendEntries`.
    """

    metadata: SnapshotMetadata
    offset: int
    data: bytes
    read_round: int
    leased: bool = False


@dataclass(frozen=True, slots=True)
class InstallSnapshotReply:
    """The answer: up to `next_offset` the snapshot is on disk.

    When that is its size, the follower's log matches up to `index`, by this snapshot or by what it had.
    """

    index: int
    next_offset: int
    read_round: int = 0


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """A follower asks for the read index of the reads that it has received before this (dissertation §6.4)."""

    request_id: int


@dataclass(frozen=True, slots=True)
class ReadIndexReply:
    """The reply to `ReadIndex`; index 0 if the recipient of the request does not lead."""

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
    """A body with the addresses and the sender's current term, which every message of Raft carries (§5.1).

    The incarnations say which lives of these identities are meant: a node that lost its disk begins another one.
    """

    sender: str
    recipient: str
    term: int
    body: Body
    sender_incarnation: int = 0
    recipient_incarnation: int = 0
    """0 in a `Discovery`: whoever has that identity."""
