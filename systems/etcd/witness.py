"""Who leads, as this node knows it, told in the testbed's events when it is certain.

etcd says what its Raft decides before that is on disk. A node that told so at once, and was killed then, might seem to
have gone back to an earlier term. So a term counts when an entry of it was applied, or when it was read from the disk,
or when the node leads it: others have voted for it then, and were asked only after the disk had it.
"""

from collections.abc import Mapping

from raft_pkg.events import Event, EventLog
from systems.etcd.etcd_log_events import BecameFollower, Follows, LeaderLost, Leads, Recovered, Word


class Witness:
    """What is certain of one node."""

    def __init__(self, node_id: str, names: Mapping[str, str], log: EventLog) -> None:
        self.term = 0
        self.leader: str | None = None
        self.recovered_index = 0
        """Highest index in the log when the node started."""
        self._node_id = node_id
        self._names = names
        self._log = log
        self._durable_term = 0
        self._expected: tuple[int, str] | None = None
        """Term and leader of which the node has heard, and the term is not certain yet."""

    @property
    def is_waiting(self) -> bool:
        """Whether `applied` may make something certain."""
        return self._expected is not None

    def hear(self, word: Word) -> None:
        """Take in what etcd's log says."""
        match word:
            case Recovered(term, last_log_index):
                self.term = self._durable_term = term
                self.recovered_index = last_log_index
                self._log.emit(Event.LOG_RECOVERED, term, last_log_index=last_log_index)
            case Leads(term):
                self._durable_term = term
                self._log.emit(Event.BECAME_LEADER, term)
                self._follow(term, self._node_id)
            case Follows(term, leader):
                self._expect(term, self._names.get(leader, leader))
            case LeaderLost():
                self._lose_leader()
            case BecameFollower() if self.leader == self._node_id:
                self._log.emit(Event.BECAME_FOLLOWER, self.term, leader=None, reason="etcd stepped down")
                self._lose_leader()

    def applied(self, term: int) -> None:
        """An entry of this term was applied."""
        self._durable_term = max(self._durable_term, term)
        if self._expected is not None:
            self._expect(*self._expected)

    def _expect(self, term: int, leader: str) -> None:
        if term <= self._durable_term:
            self._follow(term, leader)
        elif (self.term, self.leader) != (term, leader):
            self._expected = term, leader

    def _follow(self, term: int, leader: str) -> None:
        self._expected = None
        if (self.term, self.leader) != (term, leader):
            self.term, self.leader = term, leader
            self._log.emit(Event.LEADER_CHANGED, term, leader=leader)

    def _lose_leader(self) -> None:
        self._expected = None
        if self.leader is not None:
            self.leader = None
            self._log.emit(Event.LEADER_CHANGED, self.term, leader=None)
