"""The state that all parts of `Raft` share: the node's identity, the time, and Figure 2 of the paper."""

from itertools import count
from random import Random

from raft_pkg.core.config import RaftConfig
from raft_pkg.core.log import RaftLog
from raft_pkg.core.messages import Body, Message
from raft_pkg.core.ready import RaftEvent, Ready
from raft_pkg.core.types import HardState, Role, SnapshotMetadata


class RaftState:
    """State of one node, with the `Ready` that collects what its caller has to do.

    All parts read it. Each field is written in few places: term, vote, role and leader by `Raft` and `Elections` (the
    bootstrap term by `Bootstrap`), the commit index by `Replication` (leader) and `Follower`, log and snapshot by
    `ReplicatedLog`.
    """

    def __init__(
        self,
        node_id: str,
        incarnation: int,
        *,
        config: RaftConfig,
        random: Random,
        now: float,
        hard_state: HardState,
        log: RaftLog,
        snapshot: SnapshotMetadata | None,
    ) -> None:
        self.node_id = node_id
        self.incarnation = incarnation
        self.config = config
        self.random = random
        self.now = now
        """Time of the call that is being processed, in seconds."""
        self.current_term = hard_state.current_term
        self.voted_for = hard_state.voted_for
        self.role = Role.FOLLOWER
        self.leader: str | None = None
        self.leader_incarnation = 0
        self.log = log
        self.snapshot = snapshot
        """The newest snapshot of this node; it covers at least all entries that the log has compacted."""
        self.commit_index = snapshot.index if snapshot else 0
        self.ready = Ready()
        # Request ids are sent to peers. Start at random, so that a stale reply to a previous incarnation cannot match.
        self.request_ids = count(random.getrandbits(48))

    @property
    def is_leader(self) -> bool:
        """Whether this node leads its current term."""
        return self.role is Role.LEADER

    @property
    def has_committed_in_own_term(self) -> bool:
        """Whether the newest committed entry is from the current term."""
        return self.log.term_at(self.commit_index) == self.current_term

    def send(self, recipient: str, recipient_incarnation: int, body: Body) -> None:
        """Send a message after the next sync."""
        self.ready.messages.append(self.message(recipient, recipient_incarnation, body))

    def reply(self, message: Message, body: Body) -> None:
        """Reply after the next sync, since most replies acknowledge a write."""
        self.send(message.sender, message.sender_incarnation, body)

    def message(self, recipient: str, recipient_incarnation: int, body: Body) -> Message:
        """Return a message from this node in its current term."""
        return Message(self.node_id, recipient, self.current_term, body, self.incarnation, recipient_incarnation)

    def emit(self, raft_event: RaftEvent) -> None:
        """Report an event to the caller."""
        self.ready.raft_events.append(raft_event)
