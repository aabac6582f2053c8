"""What nodes say to each other (paper, Figure 2), as immutable data. `raft.proto` has the same on the wire."""

from dataclasses import dataclass

from raft_pkg.core.types import Entry


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

    `read_round` numbers the leader's checks of its own leadership for reads (dissertation §6.4).
    """

    prev_log_index: int
    prev_log_term: int
    entries: tuple[Entry, ...]
    leader_commit: int
    read_round: int


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


Body = PreVote | PreVoteReply | RequestVote | RequestVoteReply | AppendEntries | AppendEntriesReply | TimeoutNow


@dataclass(frozen=True, slots=True)
class Message:
    """A body with the addresses and the sender's current term, which every message of Raft carries (§5.1)."""

    sender: str
    recipient: str
    term: int
    body: Body
