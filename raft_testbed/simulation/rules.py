"""What one node must do in its time (Figure 2, Rules for Servers; dissertation §6.2, §6.4, §9.6), seen from outside.

Breaking these rules need not show in any state at once, only in elections that come too often or too seldom, or in a
stale read once in many thousand runs. So they are checked as such: from the messages that come and go, the node's
clock, and the public state of its core. Nothing here knows of other nodes.
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
from raft_testbed.simulation.invariants import Identity, Violation

ELECTION_TIMER = "Election Timer"
RANDOMIZED_TIMEOUTS = "Randomized Election Time-outs"
PROTECTED_LEADER = "A Working Leader Is Protected"
CHECK_QUORUM = "A Leader Alone Steps Down"
READ_INDEX = "Reads Are Confirmed by a Quorum"
LEASE = "A Lease Ends in Time"
CANDIDATES = "Only Voters Stand for Election"
REMOVED_LEADER = "A Removed Leader Steps Down"
CAUGHT_UP = "A Learner Has Caught Up Before It Votes"

SAME_TIMEOUTS = 8
"""So many equal time-outs in a row are no rng."""


class NodeRules:
    """The rules for one node in one life. The host tells it what comes, what goes, and when a turn is over."""

    def __init__(self, raft: Raft, config: RaftConfig) -> None:
        self._node = raft.node_id
        self._identity = raft.node_id, raft.incarnation
        self._config = config
        self._inbox: list[Message] = []
        self._gone: list[str] = []
        """Peers of which was said since the last turn that their processes have ended."""
        self._timeouts: deque[float] = deque(maxlen=SAME_TIMEOUTS)
        self._leader_heard_at: float | None = None
        self._leader_heard = ""
        """Who led when that was."""
        self._heard_at: dict[Identity, float] = {}
        self._leader_since = 0.0
        self._round_sent = 0
        self._rounds_sent_at: dict[int, float] = {}
        self._rounds_answered: dict[Identity, int] = {}
        self._asked: dict[tuple[Identity, int], int] = {}
        """The newest round before a follower asked for a read, by who asked and the question's number."""
        self._confirmed_at = float("-inf")
        """When the newest heartbeat left that a quorum has answered, of those who decided when it did."""
        self._handed_over_at = float("inf")
        """When this leader told another node to take over."""
        self._remember(raft)

    # --- what happens -------------------------------------------------------------------------------------------

    def received(self, message: Message) -> None:
        """A message lies in the node's inbox; its next turn takes it in, if it is for this incarnation."""
        if message.recipient_incarnation != self._identity[1]:
            return
        self._inbox.append(message)
        if isinstance(message.body, ReadIndex):
            self._asked.setdefault((_sender(message), message.body.request_id), self._round_sent)

    def peer_unreachable(self, peer: str) -> None:
        """A peer is said to be gone; the node's next turn takes note of it."""
        self._gone.append(peer)

    def iteration_began(self) -> None:
        """The node takes in what has come."""
        answered = self._rounds_answered
        for message in self._inbox:
            body = message.body
            if isinstance(body, AppendEntriesReply | InstallSnapshotReply) and message.term == self._term:
                sender = _sender(message)
                answered[sender] = max(answered.get(sender, 0), body.read_round)

    def iteration_ended(self, raft: Raft, now: float) -> None:
        """The node has done all that `now`, the time at which the turn began, asked for."""
        inbox, self._inbox = self._inbox, []
        if Role.LEADER not in (self._role, raft.role) and self._was_voter and raft.is_voter:
            self._check_timer(raft, inbox, now)
        for message in inbox:
            self._heard_at[_sender(message)] = now
            if isinstance(message.body, AppendEntries | InstallSnapshot) and message.term == raft.current_term:
                self._leader_heard_at, self._leader_heard = now, message.sender
        if self._believes_it and self._leader_heard in self._gone:
            self._leader_heard_at = None
        self._gone.clear()
        if raft.role is Role.LEADER:
            self._check_quorum(raft, now)
            self._check_members(raft)
        elif raft.role is not Role.FOLLOWER:
            self._check_candidate(raft)
        self._remember(raft)

    def message_sent(self, message: Message, raft: Raft, now: float) -> None:
        """A message leaves in a turn that began at `now`."""
        match message.body:
            case AppendEntries(read_round=read_round) | InstallSnapshot(read_round=read_round):
                if read_round > self._round_sent:
                    self._round_sent = read_round
                    self._rounds_sent_at[read_round] = now
            case PreVoteReply(vote_granted=True):
                self._check_protection(message.recipient, now)
            case RequestVoteReply(vote_granted=True) if not self._ordered_by_leader(message.recipient):
                self._check_protection(message.recipient, now)
            case ReadIndexReply(request_id=number, index=index) if index:
                asker = message.recipient, message.recipient_incarnation
                self.read_answered(self._asked.get((asker, number), self._round_sent), raft, now)
            case TimeoutNow():
                self._handed_over_at = min(self._handed_over_at, now)

    def read_arrived(self) -> int:
        """A read has come; returns the newest round of heartbeats before it."""
        return self._round_sent

    def read_answered(self, round_before: int, raft: Raft, now: float) -> None:
        """ReadIndex (dissertation §6.4): a quorum has answered heartbeats that left after the read came.

        With leases (§6.4.1), heartbeats from before it will do, if no voter that answered them can have helped
        another leader to its office since, nor was any told to try.
        """
        # The configuration may have changed in this turn.
        own = self._round_sent + 1  # it need not ask itself
        reached = max(self._round_reached(raft.configuration, own), self._round_reached(self._configuration, own))
        if reached > round_before:
            return
        if not self._config.lease_reads:
            raise Violation(
                READ_INDEX,
                f"{self._node} answers a read; of the heartbeats since it came ({round_before}), a quorum has answered "
                f"up to {reached} alone",
                self._node,
            )
        length = self._config.election_timeout_min * (1 - self._config.clock_drift_max)
        silent = now - max(self._confirmed_at, self._rounds_sent_at.get(reached, float("-inf")))
        if self._handed_over_at < now or silent > length:
            raise Violation(
                LEASE,
                f"{self._node} answers a read {silent:.3f} s after the newest heartbeat that a quorum answered; "
                f"its lease lasted {length:.3f} s, or was given up",
                self._node,
            )

    def _round_reached(self, configuration: Configuration, own: int) -> int:
        """The newest round that a quorum has answered, where this node has answered `own`."""
        return int(_reached(configuration, self._rounds_answered, {self._identity: own}))

    # --- the rules ----------------------------------------------------------------------------------------------

    def _check_timer(self, raft: Raft, inbox: Sequence[Message], now: float) -> None:
        """Figure 2, Followers: only the leader's appends and granting a vote put an election off (§5.2).

        It may come sooner where the leader is said to be gone: safety does not depend on timing (§5.6).
        """
        deadline = raft.next_timeout()
        from_leader = [m for m in inbox if isinstance(m.body, AppendEntries | InstallSnapshot) and m.term >= self._term]
        if deadline == self._deadline:
            if any(message.term == raft.current_term for message in from_leader):
                raise Violation(
                    ELECTION_TIMER, f"{self._node} hears from its leader and does not wait longer", self._node
                )
            return
        if deadline < self._deadline and self._believes_it and self._leader in self._gone:
            return
        requests = [message for message in inbox if isinstance(message.body, RequestVote)]
        granted = len(requests) > 1 or any(
            request.sender == raft.voted_for or self._term <= request.term < raft.current_term  # of a term before
            for request in requests
        )
        stands = raft.role is Role.CANDIDATE and (self._role, self._term) != (raft.role, raft.current_term)
        if not (from_leader or granted or stands or now >= self._deadline):
            raise Violation(
                ELECTION_TIMER,
                f"{self._node} moves its election; it has voted for nobody, hears no leader and of no end of one",
                self._node,
            )
        self._check_randomness(deadline - now)

    @property
    def _believes_it(self) -> bool:
        """Whether who hears that its leader's process has ended need not wait for a time-out."""
        return self._config.pre_vote and self._config.check_quorum and not self._config.lease_reads

    def _check_randomness(self, timeout: float) -> None:
        self._timeouts.append(round(timeout, 9))
        is_fixed = self._config.election_timeout_min == self._config.election_timeout_max
        if len(self._timeouts) == SAME_TIMEOUTS and len(set(self._timeouts)) == 1 and not is_fixed:
            raise Violation(
                RANDOMIZED_TIMEOUTS,
                f"{self._node} waits {timeout:.6f} s, {SAME_TIMEOUTS} times in a row (§5.2)",
                self._node,
            )

    def _check_protection(self, candidate: str, now: float) -> None:
        """Who heard from a leader within the least election time-out helps nobody to replace it (§4.2.3, §9.6)."""
        heard = self._leader_heard_at
        if self._config.check_quorum and heard is not None and now - heard < self._config.election_timeout_min:
            raise Violation(
                PROTECTED_LEADER,
                f"{self._node} helps {candidate} to stand, {now - heard:.3f} s after it heard from a leader",
                self._node,
                candidate,
            )

    def _ordered_by_leader(self, candidate: str) -> bool:
        return any(
            message.sender == candidate and isinstance(message.body, RequestVote) and message.body.leadership_transfer
            for message in self._inbox
        )

    def _check_quorum(self, raft: Raft, now: float) -> None:
        """A leader that no quorum answers for so long can't know whether it still leads (dissertation §6.2)."""
        configuration = raft.configuration
        if (self._role, self._term) != (raft.role, raft.current_term):
            self._rounds_answered.clear()
            self._handed_over_at, self._confirmed_at = float("inf"), float("-inf")
            self._leader_since = now
        elif self._configuration is not configuration:
            self._leader_since = now
        if self._config.lease_reads:
            reached = self._round_reached(configuration, self._round_sent)
            sent_at = self._rounds_sent_at.get(reached, float("-inf"))
            self._confirmed_at = max(self._confirmed_at, sent_at)
        if not self._config.check_quorum or self._leader_since == now:
            return
        quorum_heard_at = max(_reached(configuration, self._heard_at, {self._identity: now}), self._leader_since)
        bound = 2 * self._config.election_timeout_max + self._config.heartbeat_interval
        if now - quorum_heard_at > bound:
            raise Violation(
                CHECK_QUORUM,
                f"{self._node} leads, and for {now - quorum_heard_at:.3f} s no quorum was heard",
                self._node,
            )

    def _check_candidate(self, raft: Raft) -> None:
        """Who is no voter stands for nothing (§4.2.1), unless it is leaving and C_new may yet be lost (§4.2.2)."""
        newest, index = raft.configuration, raft.configuration_index
        before = raft.configuration_at(index - 1) if index > raft.commit_index else newest
        if not (newest.is_voter(*self._identity) or before.is_voter(*self._identity)):
            raise Violation(CANDIDATES, f"{self._node} stands for election and is no voter of {newest}", self._node)

    def _check_members(self, raft: Raft) -> None:
        """A leader makes nobody a voter who would hold the others up (§4.2.1), and goes when it is out (§6)."""
        newest, index = raft.configuration, raft.configuration_index
        if index <= raft.commit_index and not newest.is_voter(*self._identity):
            raise Violation(REMOVED_LEADER, f"{self._node} leads on and is no voter of {newest}", self._node)
        if (self._role, self._term) != (raft.role, raft.current_term) or index == self._configuration_index:
            return
        for promoted in set(self._configuration.learners) & set(newest.voters):
            missing = index - 1 - raft.progress[promoted.node_id].match_index
            if missing > self._config.appends_in_flight_max:
                raise Violation(
                    CAUGHT_UP,
                    f"{self._node} makes {promoted.node_id} a voter, which lacks {missing} entries",
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
    """The greatest number that a majority of the voters has reached, and of the outgoing ones too (§6)."""
    reached = []
    for group in filter(None, (configuration.voters, configuration.outgoing)):
        identities = [(member.node_id, member.incarnation) for member in group]
        numbers = sorted((own.get(one, of.get(one, 0.0)) for one in identities), reverse=True)
        reached.append(numbers[len(numbers) // 2])
    return min(reached, default=0.0)
