"""Log the core's events as lines of the log contract."""

from collections.abc import Callable
from typing import Any

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.ready import (
    BecameFollower,
    BecameLeader,
    ConfigurationChanged,
    ConfigurationChangeFailed,
    ConfigurationCommitted,
    ElectionStarted,
    LeaderChanged,
    PreVoteStarted,
    RaftEvent,
    TransferAborted,
    TransferStarted,
    VoteGranted,
)
from raft_pkg.events import Event, EventLog


def log_raft_event(log: EventLog, raft_event: RaftEvent) -> None:
    """Log one event of the core."""
    event, fields = _EVENTS[type(raft_event)]
    log.emit(event, raft_event.term, **fields(raft_event))


def names_of(configuration: Configuration) -> dict[str, list[str]]:
    """Return the event fields of a configuration: node ids by role."""
    groups = {"voters": configuration.voters, "learners": configuration.learners, "outgoing": configuration.outgoing}
    return {name: [member.node_id for member in members] for name, members in groups.items()}


_EVENTS: dict[type[RaftEvent], tuple[Event, Callable[[Any], dict[str, Any]]]] = {
    PreVoteStarted: (Event.PRE_VOTE_STARTED, lambda raft_event: {"votes_needed": raft_event.votes_needed}),
    TransferStarted: (Event.TRANSFER_STARTED, lambda raft_event: {"target": raft_event.target}),
    TransferAborted: (Event.TRANSFER_ABORTED, lambda raft_event: {"target": raft_event.target}),
    ElectionStarted: (Event.ELECTION_STARTED, lambda raft_event: {"votes_needed": raft_event.votes_needed}),
    VoteGranted: (Event.VOTE_GRANTED, lambda raft_event: {"candidate": raft_event.candidate}),
    BecameLeader: (
        Event.BECAME_LEADER,
        lambda raft_event: {"last_log_index": raft_event.last_log_index, "votes": list(raft_event.votes)},
    ),
    BecameFollower: (
        Event.BECAME_FOLLOWER,
        lambda raft_event: {"leader": raft_event.leader, "reason": raft_event.reason},
    ),
    LeaderChanged: (Event.LEADER_CHANGED, lambda raft_event: {"leader": raft_event.leader}),
    ConfigurationChanged: (
        Event.CONFIGURATION_CHANGED,
        lambda raft_event: {"index": raft_event.index, **names_of(raft_event.configuration)},
    ),
    ConfigurationCommitted: (Event.CONFIGURATION_COMMITTED, lambda raft_event: {"index": raft_event.index}),
    ConfigurationChangeFailed: (Event.CONFIGURATION_CHANGE_FAILED, lambda raft_event: {"reason": raft_event.reason}),
}
