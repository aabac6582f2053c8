"""Elections: the election timer, pre-votes and votes (paper §5.2, §5.4.1; dissertation §4.2.3, §9.6)."""

from raft_pkg.core.effective_configuration import EffectiveConfiguration
from raft_pkg.core.messages import Message, PreVote, PreVoteReply, RequestVote, RequestVoteReply
from raft_pkg.core.ready import ElectionStarted, PreVoteStarted, VoteGranted
from raft_pkg.core.state import RaftState
from raft_pkg.core.types import Role


class Elections:
    """Owns the election timer, the votes that this node has received, and its last contact with a leader."""

    def __init__(self, state: RaftState, configuration: EffectiveConfiguration) -> None:
        self._state = state
        self._configuration = configuration
        self._votes: dict[str, bool] = {}
        # A node that restarts may have just acknowledged a leader: it must not help to replace that leader.
        self._leader_contact_at = state.now
        self._leader_has_lease = False
        self.deadline = state.now
        """When the election timer expires, in seconds."""

    # --- timer and leader stickiness --------------------------------------------------------------------------------

    def reset_timer(self) -> None:
        """Restart the election timer with a random time-out (§5.2)."""
        config = self._state.config
        timeout = self._state.random.uniform(config.election_timeout_min, config.election_timeout_max)
        self.deadline = self._state.now + timeout

    def expire_timer_in(self, seconds: float) -> None:
        """Let the election timer expire after a fixed time, which is not drawn at random."""
        self.deadline = self._state.now + seconds

    def record_leader_contact(self, *, leased: bool) -> None:
        """Record that the current leader, which may hold a lease, has just sent a message."""
        self._leader_has_lease = leased
        self._leader_contact_at = self._state.now
        self.reset_timer()

    def forget_leader_contact(self) -> None:
        """Disable leader stickiness until the next contact with a leader."""
        self._leader_contact_at = float("-inf")

    def leader_unreachable(self) -> None:
        """Let the election timer expire early, unless that could cost safety or a working leader.

        The delay lets other followers detect it as well, and keeps them from campaigning at the same time.
        """
        config = self._state.config
        if not (config.pre_vote and config.check_quorum) or self._leader_has_lease:
            return
        self.forget_leader_contact()
        delay = config.election_timeout_min * self._state.random.uniform(0.1, 0.75)
        self.deadline = min(self.deadline, self._state.now + delay)

    def in_lease(self) -> bool:
        """Return whether this node leads or had recent contact with a leader, and so rejects candidates (§4.2.3)."""
        config = self._state.config
        has_recent_contact = self._state.now - self._leader_contact_at < config.election_timeout_min
        return config.check_quorum and (self._state.is_leader or has_recent_contact)

    # --- the candidate's side ---------------------------------------------------------------------------------------

    def become_pre_candidate(self) -> None:
        """Prepare to ask whether an election could be won; the term stays (dissertation §9.6)."""
        self._become(Role.PRE_CANDIDATE)

    def become_candidate(self) -> None:
        """Begin a new term, and vote for this node in it (§5.2)."""
        self._state.current_term += 1
        self._state.voted_for = self._state.node_id
        self._become(Role.CANDIDATE)

    def _become(self, role: Role) -> None:
        self._state.role = role
        self._votes = {self._state.node_id: True}
        self.reset_timer()

    def become_follower(self, term: int) -> None:
        """Become a follower in `term`, which may be newer than the current one (§5.1)."""
        if term > self._state.current_term:
            self._state.current_term = term
            self._state.voted_for = None
        self._state.role = Role.FOLLOWER

    def request_pre_votes(self) -> None:
        """Ask all members whether they would vote for this node in the next term."""
        state = self._state
        state.emit(PreVoteStarted(state.current_term, self._configuration.quorum))
        self._broadcast(PreVote(state.current_term + 1, state.log.last_index, state.log.last_term))

    def request_votes(self, *, leadership_transfer: bool) -> None:
        """Ask all members for their votes in the current term."""
        state = self._state
        state.emit(ElectionStarted(state.current_term, self._configuration.quorum))
        self._broadcast(RequestVote(state.log.last_index, state.log.last_term, leadership_transfer))

    def _broadcast(self, body: PreVote | RequestVote) -> None:
        for peer in self._configuration.peers:
            self._state.send(peer, self._configuration.incarnations[peer], body)

    def handle_pre_vote_reply(self, voter: str, reply: PreVoteReply) -> bool:
        """Count a pre-vote. Return whether the election can start."""
        if self._state.role is not Role.PRE_CANDIDATE or reply.next_term != self._state.current_term + 1:
            return False
        self._votes[voter] = reply.vote_granted
        return self.has_majority()

    def handle_request_vote_reply(self, voter: str, reply: RequestVoteReply) -> bool:
        """Count a vote. Return whether the election is won."""
        if self._state.role is not Role.CANDIDATE:
            return False
        self._votes[voter] = reply.vote_granted
        return self.has_majority()

    def has_majority(self) -> bool:
        """Return whether a quorum of the effective configuration voted for this node; other votes do not count (§6)."""
        return self._configuration.agreed(lambda voter: self._votes.get(voter, False))

    def granted_by(self) -> tuple[str, ...]:
        """Return the nodes that voted for this one, in order."""
        return tuple(sorted(voter for voter, granted in self._votes.items() if granted))

    # --- the voter's side -------------------------------------------------------------------------------------------

    def handle_pre_vote(self, message: Message, request: PreVote) -> None:
        """Reply whether this node would vote for the sender; the reply binds this node to nothing."""
        state = self._state
        granted = (
            request.next_term > state.current_term
            and state.log.is_up_to_date(request.last_log_index, request.last_log_term)
            and not self.in_lease()
        )
        state.reply(message, PreVoteReply(request.next_term, granted))

    def handle_request_vote(self, message: Message, request: RequestVote) -> None:
        """Grant or refuse the vote of the current term (§5.2, §5.4.1)."""
        state, candidate = self._state, message.sender
        granted = state.voted_for in (None, candidate) and state.log.is_up_to_date(
            request.last_log_index, request.last_log_term
        )
        if granted and state.voted_for is None:
            state.voted_for = candidate
            state.emit(VoteGranted(state.current_term, candidate))
        if granted:
            self.reset_timer()
        state.reply(message, RequestVoteReply(granted))
