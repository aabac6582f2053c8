"""Which role a node had when, from its log: what the timeline draws as coloured bands."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from raft_testbed.events import NodeEvent
from raft_testbed.faults import FaultRecord
from raft_testbed.verdict.directory import NodeLog, Run

LEADER = "leader"
CANDIDATE = "candidate"
PRE_CANDIDATE = "asks for votes"
FOLLOWER = "follower"
LEADERLESS = "knows no leader"
STARTING = "starting"
DOWN = "down"
ROLES = (LEADER, FOLLOWER, LEADERLESS, PRE_CANDIDATE, CANDIDATE, STARTING, DOWN)
NEVER_SEEN = (DOWN, 0)
"""Role and term of a node whose log has not begun."""


@dataclass(frozen=True, slots=True)
class Band:
    """A time in which a node kept its role and term; seconds since 1970."""

    node: str
    began: float
    ended: float
    role: str
    term: int


def bands_of(run: Run) -> list[Band]:
    """The bands of all nodes, in their order, within the run's time; none before a node was first there."""
    bands: list[Band] = []
    for node, log in run.logs.items():
        for band in _merged(_bands(log, run.faults, run.ended)):
            began, ended = max(band.began, run.started), min(band.ended, run.ended)
            if began < ended and (band.role, band.term) != NEVER_SEEN:
                bands.append(Band(node, began, ended, band.role, band.term))
    return bands


def leader_changes(run: Run) -> list[tuple[float, str, int]]:
    """When who became leader of which term."""
    changes = [
        (event.at, node, event.term)
        for node, log in run.logs.items()
        for event in log.events
        if event.event == "became_leader" and run.started <= event.at <= run.ended
    ]
    return sorted(changes)


def _bands(log: NodeLog, faults: Iterable[FaultRecord], end: float) -> Iterator[Band]:
    (role, term), began = NEVER_SEEN, 0.0
    last = 0.0
    for event in log.events:
        if event.event == "node_started" and role != DOWN:
            died = _died(log.node, last, event.at, faults)
            yield Band(log.node, began, died, role, term)
            role, began = DOWN, died
        following = _role_after(event, log.node, role)
        last = event.at
        known_term = event.term or term
        if (following, known_term) != (role, term):
            yield Band(log.node, began, event.at, role, term)
            role, term, began = following, known_term, event.at
    yield Band(log.node, began, max(began, end), role, term)


_ROLE_AFTER = {
    "node_started": STARTING,
    "pre_vote_started": PRE_CANDIDATE,
    "election_started": CANDIDATE,
    "became_leader": LEADER,
    "node_stopped": DOWN,
}


def _role_after(event: NodeEvent, node: str, role: str) -> str:
    if event.event in ("became_follower", "leader_changed"):
        leader = event.fields.get("leader")
        return LEADERLESS if leader is None else LEADER if leader == node else FOLLOWER
    if event.event == "serving" and role == STARTING:
        return LEADERLESS
    return _ROLE_AFTER.get(event.event, role)


def _died(node: str, last: float, started: float, faults: Iterable[FaultRecord]) -> float:
    """When a node that logged nothing of its end did end: at the last fault that hit it, else after its last line."""
    hits = [fault.injected_at for fault in faults if node in fault.targets and last <= fault.injected_at <= started]
    return max(hits, default=last)


def _merged(bands: Iterable[Band]) -> Iterator[Band]:
    """Neighbours that are alike as one."""
    current: Band | None = None
    for band in bands:
        if current is not None and (current.role, current.term) == (band.role, band.term):
            current = Band(band.node, current.began, band.ended, band.role, band.term)
            continue
        if current is not None:
            yield current
        current = band
    if current is not None:
        yield current
