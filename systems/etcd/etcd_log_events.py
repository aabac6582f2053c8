"""What etcd's Raft says of elections in its log, as values. etcd's API tells who leads, but not since which term."""

import re
from dataclasses import dataclass

_ID = r"(?P<id>[0-9a-f]+)"
_TERM = r"(?P<term>\d+)"


@dataclass(frozen=True, slots=True)
class Recovered:
    """It read its disk."""

    term: int
    last_log_index: int


@dataclass(frozen=True, slots=True)
class Leads:
    """It was elected."""

    term: int


@dataclass(frozen=True, slots=True)
class Follows:
    """It has heard of the leader of a term, itself perhaps."""

    term: int
    leader: str
    """etcd's number of it, in hexadecimal."""


@dataclass(frozen=True, slots=True)
class LeaderLost:
    """It knows of no leader any more."""


@dataclass(frozen=True, slots=True)
class BecameFollower:
    """It is no candidate or leader any longer, or never was one."""


Word = Recovered | Leads | Follows | LeaderLost | BecameFollower

_RECOVERED = re.compile(rf"newRaft .*term: {_TERM}, .*lastindex: (?P<index>\d+)")
_LEADS = re.compile(rf"became leader at term {_TERM}$")
_FOLLOWS = (
    re.compile(rf"elected leader {_ID} at term {_TERM}$"),
    re.compile(rf"changed leader from [0-9a-f]+ to {_ID} at term {_TERM}$"),
    # said of a leader that is the same as in the term before, too
    re.compile(rf"received a Msg(?:App|Heartbeat|Snap) message with higher term from {_ID} \[term: {_TERM}\]$"),
)
_LEADER_LOST = re.compile(r"lost leader [0-9a-f]+ at term \d+$")
_BECAME_FOLLOWER = re.compile(r"became follower at term \d+$")


def parse(message: str) -> Word | None:
    """What a message of etcd's log says; None: nothing of elections."""
    if found := _RECOVERED.search(message):
        return Recovered(int(found["term"]), int(found["index"]))
    if found := _LEADS.search(message):
        return Leads(int(found["term"]))
    for form in _FOLLOWS:
        if found := form.search(message):
            return Follows(int(found["term"]), found["id"])
    if _LEADER_LOST.search(message):
        return LeaderLost()
    if _BECAME_FOLLOWER.search(message):
        return BecameFollower()
    return None
