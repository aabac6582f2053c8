"""Helpers for tests that drive a single core."""

from collections.abc import Iterable, Sequence
from random import Random

from raft_pkg.core.config import RaftConfig
from raft_pkg.core.configuration import Configuration
from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Body,
    Message,
    RequestVote,
    RequestVoteReply,
)
from raft_pkg.core.raft import Raft
from raft_pkg.core.ready import RaftEvent, Ready
from raft_pkg.core.types import Entry, EntryKind, HardState, Role

CONFIG = RaftConfig(
    election_timeout_min=0.150,
    election_timeout_max=0.300,
    heartbeat_interval=0.050,
    pre_vote=False,
    check_quorum=False,
)
"""The protocol of §5, without extensions."""


def log_of(*terms: int) -> list[Entry]:
    """Return log entries with these terms."""
    return [Entry(index, term, EntryKind.COMMANDS, b"%d" % term) for index, term in enumerate(terms, start=1)]


def terms_of(raft: Raft) -> list[int]:
    """Return the terms of a node's log entries."""
    return [entry.term for entry in raft.log.slice(raft.log.first_index, raft.log.last_index + 1)]


def follower(
    terms: Sequence[int] = (),
    *,
    term: int | None = None,
    voted_for: str | None = None,
    node_id: str = "a",
    voters: Iterable[str] = "abc",
    now: float = 0.0,
    seed: int = 0,
    config: RaftConfig = CONFIG,
    configuration: Configuration | None = None,
) -> Raft:
    """Return a node that has just started with this log; by default in the term of its last entry."""
    hard_state = HardState(max(terms, default=0) if term is None else term, voted_for)
    return Raft(
        node_id,
        configuration or Configuration.of(*voters),
        config=config,
        random=Random(seed),
        now=now,
        hard_state=hard_state,
        entries=log_of(*terms),
    )


def candidate(terms: Sequence[int] = (), **options: object) -> Raft:
    """Return a candidate; its term is one above that of `follower`."""
    raft = follower(terms, **options)  # type: ignore[arg-type]
    raft.tick(raft.next_timeout())
    carry_out(raft)
    assert raft.role is Role.CANDIDATE
    return raft


def leader(terms: Sequence[int] = (), **options: object) -> Raft:
    """Return a leader that has sent its first appends; its term is one above that of `follower`."""
    raft = candidate(terms, **options)
    for peer in raft.peers[: raft.quorum - 1]:
        receive(raft, peer, RequestVoteReply(vote_granted=True))
    carry_out(raft)
    assert raft.role is Role.LEADER
    return raft


def receive(raft: Raft, sender: str, body: Body, *, term: int | None = None, now: float = 0.0) -> None:
    """Deliver a message; by default in the receiver's current term."""
    raft.receive(Message(sender, raft.node_id, raft.current_term if term is None else term, body), now)


def carry_out(raft: Raft) -> Ready:
    """Do the work of `Ready` with a disk that never fails. Return all of it."""
    total = Ready()
    while True:
        ready = raft.take_ready()
        if ready.hard_state is not None:
            total.hard_state = ready.hard_state
        for name in ("chunks", "entries", "early_messages", "snapshot_messages", "messages", "committed", "reads"):
            getattr(total, name).extend(getattr(ready, name))
        total.failed_reads += ready.failed_reads
        total.raft_events += ready.raft_events
        total.addresses = ready.addresses or total.addresses
        if not ready.entries:
            return total
        raft.synced(ready.entries[-1])


def replies(ready: Ready, kind: type[Body]) -> list[Body]:
    """Return the bodies of one type among the messages to send."""
    return [message.body for message in (*ready.early_messages, *ready.messages) if isinstance(message.body, kind)]


def vote(raft: Raft, sender: str, body: RequestVote, *, term: int | None = None, now: float = 0.0) -> bool:
    """Deliver a RequestVote. Return whether the vote is granted."""
    receive(raft, sender, body, term=term, now=now)
    (reply,) = replies(carry_out(raft), RequestVoteReply)
    assert isinstance(reply, RequestVoteReply)
    return reply.vote_granted


def append(
    raft: Raft,
    sender: str,
    prev: tuple[int, int],
    entries: Sequence[Entry] = (),
    *,
    commit: int = 0,
    term: int | None = None,
    now: float = 0.0,
    read_round: int = 0,
) -> AppendEntriesReply:
    """Deliver AppendEntries after the entry `prev` (index, term). Return the reply."""
    body = AppendEntries(*prev, tuple(entries), commit, read_round)
    receive(raft, sender, body, term=term, now=now)
    (reply,) = replies(carry_out(raft), AppendEntriesReply)
    assert isinstance(reply, AppendEntriesReply)
    return reply


def raft_events(ready: Ready, kind: type[RaftEvent]) -> list[RaftEvent]:
    """Return the events of one type."""
    return [raft_event for raft_event in ready.raft_events if isinstance(raft_event, kind)]


def acknowledge(raft: Raft, *followers: str, up_to: int | None = None, read_round: int = 0) -> None:
    """Deliver successful replies of followers; by default up to the leader's last index."""
    match_index = raft.log.last_index if up_to is None else up_to
    for name in followers:
        receive(raft, name, AppendEntriesReply(True, match_index=match_index, read_round=read_round))
