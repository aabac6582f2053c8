"""How one node behaves over time, seen from outside: elections, leadership, leases and reads.

A node that breaks these rules may never be in a wrong state. It holds elections too often or too rarely, or serves a
stale read once in thousands of runs. So the rules are checked as such: on the messages that the node receives and
sends, its clock, and the public state of its core. The checks know nothing of other nodes.
"""

from collections import deque
from collections.abc import Mapping, Sequence

from raft_pkg.core.config import RaftConfig
from raft_pkg.core.configuration import Configuration
from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    PreVoteReply,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raft_pkg.core.raft import Raft
from raft_pkg.core.types import Role
from raft_testbed.simulation.safety import Identity, Violation

ELECTION_TIMER = "Election Timer"
RANDOMIZED_TIMEOUTS = "Randomized Election Time-outs"
LEADER_STICKINESS = "Leader Stickiness"
CHECK_QUORUM = "Check Quorum"
READ_INDEX = "ReadIndex Confirmed by a Quorum"
LEASE = "Lease Expiry"
CAMPAIGNS = "Only Voters Campaign"
REMOVED_LEADER = "Removed Leader Steps Down"
PROMOTION = "Learner Catches Up Before Promotion"

SAME_TIMEOUTS = 8
"""Number of equal time-outs in a row that cannot be random."""


class BehaviourChecker:
    """Checks one process of a node. The machine reports messages, and the beginning and end of each iteration."""

    def __init__(self, raft: Raft, config: RaftConfig) -> None:
        self._node = raft.node_id
        self._identity = raft.node_id, raft.incarnation
        self._config = config
        self._inbox: list[Message] = []
        self._unreachable: list[str] = []
        """Peers that were reported as unreachable since the last iteration."""
        self._timeouts: deque[float] = deque(maxlen=SAME_TIMEOUTS)
        self._leader_contact_at: float | None = None
        """When the last AppendEntries or InstallSnapshot of the current term was handled."""
        self._leader_contact = ""
        """The leader that sent it."""
        self._contact_at: dict[Identity, float] = {}
        """When the last message of each node was handled."""
        self._leader_since = 0.0
        self._round_sent = 0
        self._rounds_sent_at: dict[int, float] = {}
        self._rounds_acknowledged: dict[Identity, int] = {}
        self._read_rounds: dict[tuple[Identity, int], int] = {}
        """The newest round before a follower's ReadIndex request, by follower and request id."""
        self._confirmed_at = float("-inf")
        """When the newest round was sent that a quorum of its configuration has acknowledged."""
        self._transferred_at = float("inf")
        """When this leader sent TimeoutNow."""
        self._remember(raft)

    # --- reports ------------------------------------------------------------------------------------------------------

    def message_received(self, message: Message) -> None:
        """Record a message that the node's next iteration will handle, if it is for this incarnation."""
        if message.recipient_incarnation != self._identity[1]:
            return
        self._inbox.append(message)
        if isinstance(message.body, ReadIndex):
            self._read_rounds.setdefault((_sender(message), message.body.request_id), self._round_sent)

    def peer_unreachable(self, peer: str) -> None:
        """Record a report that the node's next iteration will handle."""
        self._unreachable.append(peer)

    def iteration_began(self) -> None:
        """Count the acknowledgements that the node is about to handle."""
        acknowledged = self._rounds_acknowledged
        for message in self._inbox:
            body = message.body
            if isinstance(body, AppendEntriesReply | InstallSnapshotReply) and message.term == self._term:
                sender = _sender(message)
                acknowledged[sender] = max(acknowledged.get(sender, 0), body.read_round)

    def iteration_ended(self, raft: Raft, now: float) -> None:
        """Check the node after an iteration that began at `now`, on its own clock."""
        inbox, self._inbox = self._inbox, []
        if Role.LEADER not in (self._role, raft.role) and self._was_voter and raft.is_voter:
            self._check_timer(raft, inbox, now)
        for message in inbox:
            self._contact_at[_sender(message)] = now
            if isinstance(message.body, AppendEntries | InstallSnapshot) and message.term == raft.current_term:
                self._leader_contact_at, self._leader_contact = now, message.sender
        if self._uses_reports and self._leader_contact in self._unreachable:
            self._leader_contact_at = None
        self._unreachable.clear()
        if raft.role is Role.LEADER:
            self._check_quorum(raft, now)
            self._check_membership(raft)
        elif raft.role is not Role.FOLLOWER:
            self._check_campaign(raft)
        self._remember(raft)

    def message_sent(self, message: Message, raft: Raft, now: float) -> None:
        """Check a message that is sent in an iteration that began at `now`."""
        match message.body:
            case AppendEntries(read_round=read_round) | InstallSnapshot(read_round=read_round):
                if read_round > self._round_sent:
                    self._round_sent = read_round
                    self._rounds_sent_at[read_round] = now
            case PreVoteReply(vote_granted=True):
                self._check_stickiness(message.recipient, now)
            case RequestVoteReply(vote_granted=True) if not self._is_transfer(message.recipient):
                self._check_stickiness(message.recipient, now)
            case ReadIndexReply(request_id=request_id, index=index) if index:
                follower = message.recipient, message.recipient_incarnation
                self.read_served(self._read_rounds.get((follower, request_id), self._round_sent), raft, now)
            case TimeoutNow():
                self._transferred_at = min(self._transferred_at, now)

    def read_arrived(self) -> int:
        """Return the newest heartbeat round, when a read arrives."""
        return self._round_sent

    def read_served(self, round_before: int, raft: Raft, now: float) -> None:
        """Check ReadIndex (dissertation §6.4): a quorum acknowledged a heartbeat round later than `round_before`.

        With leases (§6.4.1), an earlier round suffices if none of the voters that acknowledged it can have elected
        another leader since, and no transfer was begun.
        """
        # The configuration may have changed in this iteration.
        own = self._round_sent + 1  # the leader's own vote counts for any round
        reached = max(self._round_reached(raft.configuration, own), self._round_reached(self._configuration, own))
        if reached > round_before:
            return
        if not self._config.lease_reads:
            raise Violation(
                READ_INDEX,
                f"{self._node} serves a read that arrived after round {round_before}; a quorum has acknowledged only "
                f"round {reached}",
                self._node,
            )
        length = self._config.election_timeout_min * (1 - self._config.clock_drift_max)
        elapsed = now - max(self._confirmed_at, self._rounds_sent_at.get(reached, float("-inf")))
        if self._transferred_at < now or elapsed > length:
            raise Violation(
                LEASE,
                f"{self._node} serves a read {elapsed:.3f} s after the newest round that a quorum acknowledged; "
                f"its lease lasts {length:.3f} s, and ends with a transfer",
                self._node,
            )

    def _round_reached(self, configuration: Configuration, own: int) -> int:
        """Return the newest round that a quorum has acknowledged, with `own` for this node."""
        return int(_reached(configuration, self._rounds_acknowledged, {self._identity: own}))

    # --- rules --------------------------------------------------------------------------------------------------------

    def _check_timer(self, raft: Raft, inbox: Sequence[Message], now: float) -> None:
        """Check the election timer: only the leader's messages and granting a vote reset it (Figure 2, §5.2).

        A report that the leader is unreachable may shorten it: safety does not depend on timing (§5.6).
        """
        deadline = raft.next_timeout()
        from_leader = [m for m in inbox if isinstance(m.body, AppendEntries | InstallSnapshot) and m.term >= self._term]
        if deadline == self._deadline:
            if any(message.term == raft.current_term for message in from_leader):
                raise Violation(
                    ELECTION_TIMER, f"{self._node} does not reset its timer on its leader's message", self._node
                )
            return
        if deadline < self._deadline and self._uses_reports and self._leader in self._unreachable:
            return
        requests = [message for message in inbox if isinstance(message.body, RequestVote)]
        granted = len(requests) > 1 or any(
            request.sender == raft.voted_for or self._term <= request.term < raft.current_term  # in a term since left
            for request in requests
        )
        campaigns = raft.role is Role.CANDIDATE and (self._role, self._term) != (raft.role, raft.current_term)
        if not (from_leader or granted or campaigns or now >= self._deadline):
            raise Violation(
                ELECTION_TIMER,
                f"{self._node} changes its timer without a vote, a leader's message, or a report that the leader is "
                "unreachable",
                self._node,
            )
        self._check_randomness(deadline - now)

    @property
    def _uses_reports(self) -> bool:
        """Whether a report that the leader is unreachable shortens the election timer."""
        return self._config.pre_vote and self._config.check_quorum and not self._config.lease_reads

    def _check_randomness(self, timeout: float) -> None:
        self._timeouts.append(round(timeout, 9))
        is_fixed = self._config.election_timeout_min == self._config.election_timeout_max
        if len(self._timeouts) == SAME_TIMEOUTS and len(set(self._timeouts)) == 1 and not is_fixed:
            raise Violation(
                RANDOMIZED_TIMEOUTS,
                f"{self._node} draws a time-out of {timeout:.6f} s {SAME_TIMEOUTS} times in a row (§5.2)",
                self._node,
            )

    def _check_stickiness(self, candidate: str, now: float) -> None:
        """Check that a node grants no vote soon after a message of its leader (§4.2.3, §9.6)."""
        contact = self._leader_contact_at
        if self._config.check_quorum and contact is not None and now - contact < self._config.election_timeout_min:
            raise Violation(
                LEADER_STICKINESS,
                f"{self._node} grants a vote to {candidate} {now - contact:.3f} s after a message of its leader",
                self._node,
                candidate,
            )

    def _is_transfer(self, candidate: str) -> bool:
        return any(
            message.sender == candidate and isinstance(message.body, RequestVote) and message.body.leadership_transfer
            for message in self._inbox
        )

    def _check_quorum(self, raft: Raft, now: float) -> None:
        """Check that a leader without messages of a quorum steps down (dissertation §6.2)."""
        configuration = raft.configuration
        if (self._role, self._term) != (raft.role, raft.current_term):
            self._rounds_acknowledged.clear()
            self._transferred_at, self._confirmed_at = float("inf"), float("-inf")
            self._leader_since = now
        elif self._configuration is not configuration:
            self._leader_since = now
        if self._config.lease_reads:
            reached = self._round_reached(configuration, self._round_sent)
            sent_at = self._rounds_sent_at.get(reached, float("-inf"))
            self._confirmed_at = max(self._confirmed_at, sent_at)
        if not self._config.check_quorum or self._leader_since == now:
            return
        contact_at = max(_reached(configuration, self._contact_at, {self._identity: now}), self._leader_since)
        bound = 2 * self._config.election_timeout_max + self._config.heartbeat_interval
        if now - contact_at > bound:
            raise Violation(
                CHECK_QUORUM,
                f"{self._node} leads, and has had no message of a quorum for {now - contact_at:.3f} s",
                self._node,
            )

    def _check_campaign(self, raft: Raft) -> None:
        """Check that only voters campaign (§4.2.1), or nodes whose removal is not committed (§4.2.2)."""
        newest, index = raft.configuration, raft.configuration_index
        before = raft.configuration_at(index - 1) if index > raft.commit_index else newest
        if not (newest.is_voter(*self._identity) or before.is_voter(*self._identity)):
            raise Violation(CAMPAIGNS, f"{self._node} campaigns and is not a voter of {newest}", self._node)

    def _check_membership(self, raft: Raft) -> None:
        """Check that a removed leader steps down (§6), and promotes only learners that have caught up (§4.2.1)."""
        newest, index = raft.configuration, raft.configuration_index
        if index <= raft.commit_index and not newest.is_voter(*self._identity):
            raise Violation(REMOVED_LEADER, f"{self._node} still leads and is not a voter of {newest}", self._node)
        if (self._role, self._term) != (raft.role, raft.current_term) or index == self._configuration_index:
            return
        for promoted in set(self._configuration.learners) & set(newest.voters):
            missing = index - 1 - raft.progress[promoted.node_id].match_index
            if missing > self._config.appends_in_flight_max:
                raise Violation(
                    PROMOTION,
                    f"{self._node} promotes {promoted.node_id}, which lacks {missing} entries",
                    self._node,
                    promoted.node_id,
                )

    def _remember(self, raft: Raft) -> None:
        self._role = raft.role
        self._leader = raft.leader
        self._term = raft.current_term
        self._deadline = raft.next_timeout()
        self._configuration = raft.configuration
        self._configuration_index = raft.configuration_index
        self._was_voter = raft.is_voter


def _sender(message: Message) -> Identity:
    return message.sender, message.sender_incarnation


def _reached(configuration: Configuration, of: Mapping[Identity, float], own: Mapping[Identity, float]) -> float:
    """Return the greatest value that a majority of the voters has reached, and of the outgoing voters (§6).

    `own` overrides `of`, where missing values count as 0.
    """
    reached = []
    for group in filter(None, (configuration.voters, configuration.outgoing)):
        identities = [(member.node_id, member.incarnation) for member in group]
        numbers = sorted((own.get(one, of.get(one, 0.0)) for one in identities), reverse=True)
        reached.append(numbers[len(numbers) // 2])
    return min(reached, default=0.0)
