"""ReadIndex and leader leases (dissertation §6.4), on the leader and on followers."""

from collections.abc import Iterable

from raft_pkg.core.messages import Message, ReadIndex, ReadIndexReply
from raft_pkg.core.reads import ForwardedReads, ReadQueue
from raft_pkg.core.replication import Replication
from raft_pkg.core.state import RaftState


class LeaderReads:
    """Owns the leader's pending reads, those that followers forwarded, and the lease (§6.4.1)."""

    def __init__(self, state: RaftState, replication: Replication) -> None:
        self._state = state
        self._replication = replication
        self._queue = ReadQueue()
        self._forwarded: dict[int, tuple[Message, ReadIndex]] = {}
        """Requests of followers, by the id that the read has here."""
        self._lease_until = state.now
        self.is_lease_revoked = False
        """Whether this leader has allowed another one to be elected before its lease ends."""

    @property
    def round(self) -> int:
        """Number of the newest round of heartbeats."""
        return self._queue.round

    def start(self) -> None:
        """Begin a leadership, without a lease."""
        self._lease_until, self.is_lease_revoked = self._state.now, False

    def stop(self) -> None:
        """End the leadership: reject the requests of followers, and fail the reads of this node."""
        for message, request in self._forwarded.values():
            self._state.reply(message, ReadIndexReply(request.request_id, 0))
        lost = self._queue.fail_all()
        self._state.ready.failed_reads += [request_id for request_id in lost if request_id not in self._forwarded]
        self._forwarded.clear()

    def revoke_lease(self) -> None:
        """Stop using the lease until the next election."""
        self.is_lease_revoked = True

    def add(self, request_id: int) -> None:
        """Queue a read of this node."""
        self._queue.add(request_id)

    def handle_read_index(self, message: Message, request: ReadIndex) -> None:
        """Queue a read that a follower forwarded; reject it if this node does not lead."""
        if not self._state.is_leader:
            self._state.reply(message, ReadIndexReply(request.request_id, 0))
            return
        request_id = next(self._state.request_ids)
        self._queue.add(request_id)
        self._forwarded[request_id] = message, request

    def begin_lease_round(self) -> None:
        """Begin a round of heartbeats whose acknowledgement extends the lease."""
        self._queue.begin_lease_round(self._state.now)
        self.confirm()

    def begin_round(self) -> bool:
        """Serve the waiting reads under the lease, or begin a round of heartbeats for them.

        Return whether a round has begun: its heartbeats must be sent.
        """
        if not self._state.has_committed_in_own_term:
            return False
        if self._holds_lease():
            self._serve((request_id, self._state.commit_index) for request_id in self._queue.take_waiting())
            return False
        begun = self._queue.begin_round(self._state.commit_index, self._state.now)
        if begun:
            self.confirm()
        return begun

    def _holds_lease(self) -> bool:
        """Return whether no other leader can be elected: a majority rejects candidates for now (§6.4.1)."""
        return self._state.config.lease_reads and not self.is_lease_revoked and self._state.now < self._lease_until

    def confirm(self) -> None:
        """Extend the lease and serve the reads by the newest round that a quorum has acknowledged."""
        confirmed_round = self._replication.acknowledged_round(self._queue.round)
        began = self._queue.take_start_of(confirmed_round)
        if began is not None:
            config = self._state.config
            self._lease_until = began + config.election_timeout_min * (1 - config.clock_drift_max)
        self._serve(self._queue.take_confirmed(confirmed_round))

    def _serve(self, reads: Iterable[tuple[int, int]]) -> None:
        """Hand out the reads of this node, and reply to the followers that forwarded one; each with its index."""
        for request_id, index in reads:
            forwarded = self._forwarded.pop(request_id, None)
            if forwarded is None:
                self._state.ready.reads.append((request_id, index))
            else:
                message, request = forwarded
                self._state.reply(message, ReadIndexReply(request.request_id, index))


class FollowerReads:
    """Owns the reads that this node forwards to its leader."""

    def __init__(self, state: RaftState) -> None:
        self._state = state
        self._reads = ForwardedReads()

    def add(self, request_id: int) -> None:
        """Queue a read of this node."""
        self._reads.add(request_id)

    def send_request(self) -> None:
        """Send one ReadIndex request for all reads that arrived since the last one."""
        state = self._state
        if state.leader is None:
            return
        request_id = self._reads.begin_request(state.now)
        if request_id is not None:
            message = state.message(state.leader, state.leader_incarnation, ReadIndex(request_id))
            state.ready.early_messages.append(message)

    def handle_read_index_reply(self, sender: str, reply: ReadIndexReply) -> None:
        """Accept the leader's read index, or fail the reads that it rejects."""
        if sender == self._state.leader and not self._state.is_leader:
            self._state.ready.failed_reads += self._reads.handle_reply(reply.request_id, reply.index)

    def take_committed(self) -> list[tuple[int, int]]:
        """Return the reads whose index is committed, each with its index."""
        return self._reads.take_committed(self._state.commit_index)

    def expire(self) -> None:
        """Fail the reads whose request was sent an election time-out ago."""
        sent_before = self._state.now - self._state.config.election_timeout_max
        self._state.ready.failed_reads += self._reads.expire(sent_before)

    def leader_changed(self) -> None:
        """Fail the reads that have no reply."""
        self._state.ready.failed_reads += self._reads.fail_unanswered()

    def leader_lost(self) -> None:
        """Fail all reads: without a leader, the entries that they wait for may never arrive."""
        self._state.ready.failed_reads += self._reads.fail_all()
