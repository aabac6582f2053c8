"""What the core tells, as lines of the log contract."""

from collections.abc import Callable
from typing import Any

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.output import (
    BecameFollower,
    BecameLeader,
    ChangeCompleted,
    ChangeFailed,
    ConfigurationChanged,
    ElectionStarted,
    LeaderChanged,
    Notice,
    PreVoteStarted,
    TransferEnded,
    TransferStarted,
    VoteGranted,
)
from raft_pkg.events import Event, EventLog


def log_notice(log: EventLog, notice: Notice) -> None:
    """Log one notice as its event, with its fields."""
    event, fields = _EVENTS[type(notice)]
    log.emit(event, notice.term, **fields(notice))


def names_of(configuration: Configuration) -> dict[str, list[str]]:
    """A configuration as events tell it: identities by what they are."""
    groups = {"voters": configuration.voters, "learners": configuration.learners, "outgoing": configuration.outgoing}
    return {name: [member.node_id for member in members] for name, members in groups.items()}


_EVENTS: dict[type[Notice], tuple[Event, Callable[[Any], dict[str, Any]]]] = {
    PreVoteStarted: (Event.PRE_VOTE_STARTED, lambda notice: {"votes_needed": notice.votes_needed}),
    TransferStarted: (Event.TRANSFER_STARTED, lambda notice: {"target": notice.target}),
    TransferEnded: (Event.TRANSFER_ENDED, lambda notice: {"target": notice.target}),
    ElectionStarted: (Event.ELECTION_STARTED, lambda notice: {"votes_needed": notice.votes_needed}),
    VoteGranted: (Event.VOTE_GRANTED, lambda notice: {"candidate": notice.candidate}),
    BecameLeader: (
        Event.BECAME_LEADER,
        lambda notice: {"last_log_index": notice.last_log_index, "votes": list(notice.votes)},
    ),
    BecameFollower: (Event.BECAME_FOLLOWER, lambda notice: {"leader": notice.leader, "reason": notice.reason}),
    LeaderChanged: (Event.LEADER_CHANGED, lambda notice: {"leader": notice.leader}),
    ConfigurationChanged: (
        Event.CONFIGURATION_CHANGED,
        lambda notice: {"index": notice.index, **names_of(notice.configuration)},
    ),
    ChangeCompleted: (Event.MEMBERS_CHANGED, lambda notice: {"index": notice.index}),
    ChangeFailed: (Event.MEMBERS_CHANGE_FAILED, lambda notice: {"reason": notice.why}),
}
