"""Tracks term and leader as this node knows them, and logs them once they are durable.

etcd logs the decisions of its Raft before they are on disk. A node that logged them at once and was then killed might
seem to have returned to an earlier term. A term is durable when

- it was read from disk, or
- the node leads it: the others voted for it, and a candidate requests votes only after its term is on disk, or
- an entry of the term was applied.
"""

from collections.abc import Mapping

from raft_pkg.events import Event, EventLog
from systems.etcd.etcd_log_events import (
    BecameFollower,
    BecameLeader,
    EtcdLogEvent,
    LeaderKnown,
    LeaderLost,
    LogRecovered,
)


class LeadershipTracker:
    """The durable term and leader of one node. `member_names` are node ids by etcd's member id."""

    def __init__(self, node_id: str, member_names: Mapping[str, str], log: EventLog) -> None:
        self.term = 0
        self.leader: str | None = None
        self.recovered_index = 0
        """Last log index when the node started."""
        self._node_id = node_id
        self._member_names = member_names
        self._log = log
        self._durable_term = 0
        self._unconfirmed: tuple[int, str] | None = None
        """Term and leader that the node knows, when the term is not durable yet."""

    @property
    def is_unconfirmed(self) -> bool:
        """Whether `confirm_applied` may make a term durable."""
        return self._unconfirmed is not None

    def handle(self, event: EtcdLogEvent) -> None:
        match event:
            case LogRecovered(term, last_log_index):
                self.term = self._durable_term = term
                self.recovered_index = last_log_index
                self._log.emit(Event.LOG_RECOVERED, term, last_log_index=last_log_index)
            case BecameLeader(term):
                self._durable_term = term
                self._log.emit(Event.BECAME_LEADER, term)
                self._set_leader(term, self._node_id)
            case LeaderKnown(term, member_id):
                self._learn_leader(term, self._member_names.get(member_id, member_id))
            case LeaderLost():
                self._clear_leader()
            case BecameFollower() if self.leader == self._node_id:
                self._log.emit(Event.BECAME_FOLLOWER, self.term, leader=None, reason="etcd stepped down")
                self._clear_leader()

    def confirm_applied(self, term: int) -> None:
        """Record that an entry of `term` was applied."""
        self._durable_term = max(self._durable_term, term)
        if self._unconfirmed is not None:
            self._learn_leader(*self._unconfirmed)

    def _learn_leader(self, term: int, leader: str) -> None:
        if term <= self._durable_term:
            self._set_leader(term, leader)
        elif (self.term, self.leader) != (term, leader):
            self._unconfirmed = term, leader

    def _set_leader(self, term: int, leader: str) -> None:
        self._unconfirmed = None
        if (self.term, self.leader) != (term, leader):
            self.term, self.leader = term, leader
            self._log.emit(Event.LEADER_CHANGED, term, leader=leader)

    def _clear_leader(self) -> None:
        self._unconfirmed = None
        if self.leader is not None:
            self.leader = None
            self._log.emit(Event.LEADER_CHANGED, self.term, leader=None)
