"""Role intervals: which role and term each node had when, from its log."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from raft_pkg.events import Event
from raft_testbed.events import NodeEvent
from raft_testbed.faults import FaultRecord
from raft_testbed.verdict.directory import NodeLog, Run

LEADER = "leader"
CANDIDATE = "candidate"
PRE_CANDIDATE = "pre-candidate"
FOLLOWER = "follower"
LEADERLESS = "no known leader"
STARTING = "starting"
DOWN = "down"
NEVER_STARTED = (DOWN, 0)
"""Role and term of a node before the first line of its log."""


@dataclass(frozen=True, slots=True)
class RoleInterval:
    """A time in which a node's role and term did not change; seconds since 1970."""

    node: str
    began: float
    ended: float
    role: str
    term: int


def role_intervals(run: Run) -> list[RoleInterval]:
    """Return the role intervals of all nodes within the run, by node and time, from the node's first line on."""
    intervals: list[RoleInterval] = []
    for node, log in run.logs.items():
        for interval in _merged(_intervals(log, run.faults, run.ended)):
            began, ended = max(interval.began, run.started), min(interval.ended, run.ended)
            if began < ended and (interval.role, interval.term) != NEVER_STARTED:
                intervals.append(RoleInterval(node, began, ended, interval.role, interval.term))
    return intervals


def leader_changes(run: Run) -> list[tuple[float, str, int]]:
    """Return time (seconds since 1970), node and term of each election within the run, by time."""
    changes = [
        (event.at, node, event.term)
        for node, log in run.logs.items()
        for event in log.events
        if event.event == Event.BECAME_LEADER and run.started <= event.at <= run.ended
    ]
    return sorted(changes)


def _intervals(log: NodeLog, faults: Iterable[FaultRecord], end: float) -> Iterator[RoleInterval]:
    (role, term), began = NEVER_STARTED, 0.0
    last = 0.0
    for event in log.events:
        if event.event == Event.NODE_STARTED and role != DOWN:
            died = _time_of_death(log.node, last, event.at, faults)
            yield RoleInterval(log.node, began, died, role, term)
            role, began = DOWN, died
        following = _role_after(event, log.node, role)
        last = event.at
        known_term = event.term or term
        if (following, known_term) != (role, term):
            yield RoleInterval(log.node, began, event.at, role, term)
            role, term, began = following, known_term, event.at
    yield RoleInterval(log.node, began, max(began, end), role, term)


_ROLE_AFTER: dict[str, str] = {
    Event.NODE_STARTED: STARTING,
    Event.PRE_VOTE_STARTED: PRE_CANDIDATE,
    Event.ELECTION_STARTED: CANDIDATE,
    Event.BECAME_LEADER: LEADER,
    Event.NODE_STOPPED: DOWN,
}


def _role_after(event: NodeEvent, node: str, role: str) -> str:
    if event.event in (Event.BECAME_FOLLOWER, Event.LEADER_CHANGED):
        leader = event.fields.get("leader")
        return LEADERLESS if leader is None else LEADER if leader == node else FOLLOWER
    if event.event == Event.SERVING and role == STARTING:
        return LEADERLESS
    return _ROLE_AFTER.get(event.event, role)


def _time_of_death(node: str, last: float, started: float, faults: Iterable[FaultRecord]) -> float:
    """Return when an incarnation that logged no end ended: at the last fault on the node, or at its last line."""
    hits = [fault.injected_at for fault in faults if node in fault.targets and last <= fault.injected_at <= started]
    return max(hits, default=last)


def _merged(intervals: Iterable[RoleInterval]) -> Iterator[RoleInterval]:
    """Merge adjacent intervals with the same role and term."""
    current: RoleInterval | None = None
    for interval in intervals:
        if current is not None and (current.role, current.term) == (interval.role, interval.term):
            current = RoleInterval(interval.node, current.began, interval.ended, interval.role, interval.term)
            continue
        if current is not None:
            yield current
        current = interval
    if current is not None:
        yield current
