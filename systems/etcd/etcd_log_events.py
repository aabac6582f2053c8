"""Parses the log messages of etcd's Raft about elections. etcd's API names the leader, but not since which term."""

import re
from dataclasses import dataclass

_ID = r"(?P<id>[0-9a-f]+)"
_TERM = r"(?P<term>\d+)"


@dataclass(frozen=True, slots=True)
class LogRecovered:
    """The node has read its log from disk."""

    term: int
    last_log_index: int


@dataclass(frozen=True, slots=True)
class BecameLeader:
    """The node won an election."""

    term: int


@dataclass(frozen=True, slots=True)
class LeaderKnown:
    """The node learned the leader of a term; this may be the node itself."""

    term: int
    leader: str
    """etcd's member id, in hexadecimal."""


@dataclass(frozen=True, slots=True)
class LeaderLost:
    """The node no longer knows a leader."""


@dataclass(frozen=True, slots=True)
class BecameFollower:
    """The node is neither candidate nor leader."""


EtcdLogEvent = LogRecovered | BecameLeader | LeaderKnown | LeaderLost | BecameFollower

_LOG_RECOVERED = re.compile(rf"newRaft .*term: {_TERM}, .*lastindex: (?P<index>\d+)")
_BECAME_LEADER = re.compile(rf"became leader at term {_TERM}$")
_LEADER_KNOWN = (
    re.compile(rf"elected leader {_ID} at term {_TERM}$"),
    re.compile(rf"changed leader from [0-9a-f]+ to {_ID} at term {_TERM}$"),
    # also logged when the leader of the previous term was reelected
    re.compile(rf"received a Msg(?:App|Heartbeat|Snap) message with higher term from {_ID} \[term: {_TERM}\]$"),
)
_LEADER_LOST = re.compile(r"lost leader [0-9a-f]+ at term \d+$")
_BECAME_FOLLOWER = re.compile(r"became follower at term \d+$")


def parse(message: str) -> EtcdLogEvent | None:
    """Return the event of a log message; None for a message that is not about elections."""
    if found := _LOG_RECOVERED.search(message):
        return LogRecovered(int(found["term"]), int(found["index"]))
    if found := _BECAME_LEADER.search(message):
        return BecameLeader(int(found["term"]))
    for pattern in _LEADER_KNOWN:
        if found := pattern.search(message):
            return LeaderKnown(int(found["term"]), found["id"])
    if _LEADER_LOST.search(message):
        return LeaderLost()
    if _BECAME_FOLLOWER.search(message):
        return BecameFollower()
    return None
