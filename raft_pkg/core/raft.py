"""The Raft protocol of one node: §5 of the paper; of the dissertation leadership transfer (§3.10), protection of a
working leader (§4.2.3, §6.2), ReadIndex (§6.4) and the pre-vote (§9.6).

Pure: it owns the protocol's state and nothing else. It reads no clock (`now`, in seconds of any monotonic clock, is
an argument), draws chance only from the generator it was given, and does no I/O: its methods change memory, and
`take_output` says what the caller must write, send and apply, in which order. Same calls, same results.
"""

from collections.abc import Iterable, Sequence
from random import Random
from typing import TypeVar

from raft_pkg.core.config import RaftConfig
from raft_pkg.core.log import RaftLog
from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Body,
    Message,
    PreVote,
    PreVoteReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raft_pkg.core.output import (
    BecameFollower,
    BecameLeader,
    ElectionStarted,
    LeaderChanged,
    Notice,
    Output,
    PreVoteStarted,
    TransferEnded,
    TransferStarted,
    VoteGranted,
)
from raft_pkg.core.progress import Progress
from raft_pkg.core.reads import ReadQueue
from raft_pkg.core.types import Entry, EntryKind, HardState, Role

Number = TypeVar("Number", int, float)


class NotLeaderError(Exception):
    """Only the leader takes proposals and reads; `leader` is whom this node follows, if anybody."""

    def __init__(self, leader: str | None) -> None:
        super().__init__(f"not the leader; the leader is {leader or 'not known'}")
        self.leader = leader


class TransferRefusedError(Exception):
    """Leadership can't go to the target that was named; the message says why."""


class InvariantError(Exception):
    """A safety property of the paper does not hold. The node must stop: going on could spread the damage."""


class Raft:
    """One node of a Raft cluster. See the module's docstring, and `Output` for what the caller owes it."""

    def __init__(
        self,
        node_id: str,
        voters: Iterable[str],
        *,
        config: RaftConfig,
        random: Random,
        now: float,
        hard_state: HardState | None = None,
        entries: Sequence[Entry] = (),
    ) -> None:
        """Begin as a follower with what the storage recovered (all of it synced; None: an empty disk).

        Raises `ValueError` when `node_id` is not among `voters` or the entries have gaps.
        """
        self.node_id = node_id
        self.voters = tuple(sorted(voters))
        if node_id not in self.voters:
            raise ValueError(f"{node_id} is not among the voters {', '.join(self.voters)}")
        self.peers = tuple(voter for voter in self.voters if voter != node_id)
        self.quorum = len(self.voters) // 2 + 1
        self.config = config
        self._random = random

        hard_state = hard_state or HardState()
        self.current_term = hard_state.current_term
        self.voted_for = hard_state.voted_for
        self.log = RaftLog(entries)
        self.commit_index = 0
        self.role = Role.FOLLOWER
        self.leader: str | None = None
        self.progress: dict[str, Progress] = {}
        self.transfer_target: str | None = None
        """To whom this leader is handing over; it takes no proposals meanwhile."""

        self._saved_hard_state = hard_state
        self._first_unsaved = self.log.last_index + 1
        self._durable_index = self.log.last_index
        self._handed_out = 0
        self._votes: dict[str, bool] = {}
        self._reads = ReadQueue()
        self._heartbeat_due = False
        self._next_heartbeat = now
        self._election_deadline = now
        # A node that restarts may have answered a leader just before: it protects that leader all the same.
        self._leader_heard_at = now
        self._transfer_deadline = now
        self._output = Output()
        self._reset_election_timer(now)

    # --- what the caller calls ------------------------------------------------------------------------------------

    def next_timeout(self) -> float:
        """The time at which `tick` has something to do."""
        return self._next_heartbeat if self.role is Role.LEADER else self._election_deadline

    def tick(self, now: float) -> None:
        """Time has passed: send heartbeats, or try to become leader (§5.2)."""
        if now < self.next_timeout():
            return
        if self.role is Role.LEADER:
            self._tick_leader(now)
        elif self.config.pre_vote:
            self._start_pre_vote(now)
        else:
            self._start_election(now)

    def receive(self, message: Message, now: float) -> None:
        """A message has arrived. Messages of unknown senders and those meant for others are passed over."""
        if message.recipient != self.node_id or message.sender not in self.peers:
            return
        match message.body:
            case PreVote():  # obliges nobody to take over its term
                self._handle_pre_vote(message.sender, message.body, now)
                return
            case RequestVote(leadership_transfer=False) if self._protects_leader(now):
                return
        if message.term > self.current_term:
            self._become_follower(message.term, None, now, f"{message.sender} has a newer term")
        if isinstance(message.body, PreVoteReply):  # of a voter that may be in an older term
            self._handle_pre_vote_reply(message.sender, message.body, now)
        elif message.term < self.current_term:
            self._answer_old_term(message)
        else:
            self._receive_in_term(message, now)

    def propose(self, data: bytes) -> Entry:
        """Append an entry of commands to the leader's log; it is committed when it comes out of `take_output`.

        If another entry comes out at its index, it is lost for ever. Raises `NotLeaderError`, also while leadership is
        being handed over (`transfer_target`).
        """
        self._require_leader()
        if self.transfer_target is not None:
            raise NotLeaderError(None)
        return self._append_to_own_log(EntryKind.COMMANDS, data)

    def read_index(self) -> int:
        """Ask for a linearizable read; returns its number, which `Output.reads` or `failed_reads` will name.

        Raises `NotLeaderError`.
        """
        self._require_leader()
        return self._reads.add()

    def transfer_leadership(self, target: str, now: float) -> None:
        """Hand leadership over to `target` (dissertation §3.10): bring it up to date, then let it time out at once.

        Gives up after an election time-out. Raises `NotLeaderError`, and `TransferRefusedError` with the reason.
        """
        self._require_leader()
        progress = self.progress.get(target)
        if progress is None:
            others = ", ".join(self.progress) or "there is none"
            raise TransferRefusedError(f"{target} is not a voter besides this leader ({others})")
        silent = now - progress.heard_at
        if silent > self.config.election_timeout_max:
            raise TransferRefusedError(f"{target} has not answered for {silent:.1f} s")
        self.transfer_target = target
        self._transfer_deadline = now + self.config.election_timeout_max
        self._heartbeat_due = True
        self._notice(TransferStarted(self.current_term, target))

    def synced(self, entry: Entry) -> None:
        """All that was written up to and including `entry` is on disk.

        Only now does a leader count itself for a majority (§5.3): its own disk can fail as any other.
        """
        if self.log.term_at(entry.index) == entry.term:
            self._durable_index = max(self._durable_index, entry.index)
            if self.role is Role.LEADER:
                self._advance_commit_index()

    def take_output(self) -> Output:
        """What is to be done now; the caller does all of it before it calls anything but `synced`."""
        if self.role is Role.LEADER:
            self._send_to_followers()
        output = self._output
        self._output = Output()
        hard_state = HardState(self.current_term, self.voted_for)
        if hard_state != self._saved_hard_state:
            output.hard_state = self._saved_hard_state = hard_state
        output.entries = self.log.slice(self._first_unsaved, self.log.last_index + 1)
        self._first_unsaved = self.log.last_index + 1
        output.committed = self.log.slice(self._handed_out + 1, self.commit_index + 1)
        self._handed_out = self.commit_index
        return output

    def _receive_in_term(self, message: Message, now: float) -> None:
        match message.body:
            case RequestVote():
                self._handle_request_vote(message.sender, message.body, now)
            case RequestVoteReply():
                self._handle_request_vote_reply(message.sender, message.body, now)
            case AppendEntries():
                self._handle_append_entries(message.sender, message.body, now)
            case AppendEntriesReply():
                self._handle_append_entries_reply(message.sender, message.body, now)
            case TimeoutNow():
                self._handle_timeout_now(message.sender, now)

    # --- pre-vote, and protection of a working leader (dissertation §9.6, §4.2.3) -----------------------------------

    def _start_pre_vote(self, now: float) -> None:
        self.role = Role.PRE_CANDIDATE
        self._votes = {self.node_id: True}
        self._reset_election_timer(now)
        self._follow(None)
        self._notice(PreVoteStarted(self.current_term, self.quorum))
        for peer in self.peers:
            self._send(peer, PreVote(self.current_term + 1, self.log.last_index, self.log.last_term))
        self._maybe_start_election(now)

    def _handle_pre_vote(self, candidate: str, request: PreVote, now: float) -> None:
        granted = (
            request.next_term > self.current_term
            and self.log.is_up_to_date(request.last_log_index, request.last_log_term)
            and not self._protects_leader(now)
        )
        self._send(candidate, PreVoteReply(request.next_term, granted))

    def _handle_pre_vote_reply(self, voter: str, reply: PreVoteReply, now: float) -> None:
        if self.role is Role.PRE_CANDIDATE and reply.next_term == self.current_term + 1:
            self._votes[voter] = reply.vote_granted
            self._maybe_start_election(now)

    def _maybe_start_election(self, now: float) -> None:
        if sum(self._votes.values()) >= self.quorum:
            self._start_election(now)

    def _protects_leader(self, now: float) -> bool:
        """Whether this node leads or has just heard from a leader, so that nobody needs to replace it."""
        heard_lately = now - self._leader_heard_at < self.config.election_timeout_min
        return self.config.check_quorum and (self.role is Role.LEADER or heard_lately)

    # --- elections (§5.2, §5.4.1) -----------------------------------------------------------------------------------

    def _reset_election_timer(self, now: float) -> None:
        timeout = self._random.uniform(self.config.election_timeout_min, self.config.election_timeout_max)
        self._election_deadline = now + timeout

    def _start_election(self, now: float, *, leadership_transfer: bool = False) -> None:
        self.current_term += 1
        self.role = Role.CANDIDATE
        self.voted_for = self.node_id
        self._votes = {self.node_id: True}
        self._reset_election_timer(now)
        self._follow(None)
        self._notice(ElectionStarted(self.current_term, self.quorum))
        for peer in self.peers:
            self._send(peer, RequestVote(self.log.last_index, self.log.last_term, leadership_transfer))
        self._maybe_become_leader(now)

    def _handle_request_vote(self, candidate: str, request: RequestVote, now: float) -> None:
        granted = self.voted_for in (None, candidate) and self.log.is_up_to_date(
            request.last_log_index, request.last_log_term
        )
        if granted and self.voted_for is None:
            self.voted_for = candidate
            self._notice(VoteGranted(self.current_term, candidate))
        if granted:
            self._reset_election_timer(now)
        self._send(candidate, RequestVoteReply(granted))

    def _handle_request_vote_reply(self, voter: str, reply: RequestVoteReply, now: float) -> None:
        if self.role is Role.CANDIDATE:
            self._votes[voter] = reply.vote_granted
            self._maybe_become_leader(now)

    def _maybe_become_leader(self, now: float) -> None:
        if sum(self._votes.values()) >= self.quorum:
            self._become_leader(now)

    def _become_leader(self, now: float) -> None:
        votes = tuple(sorted(voter for voter, granted in self._votes.items() if granted))
        self.role = Role.LEADER
        self.progress = {peer: Progress(next_index=self.log.last_index + 1, heard_at=now) for peer in self.peers}
        self._notice(BecameLeader(self.current_term, self.log.last_index, votes))
        self._follow(self.node_id)
        # An entry of its own term lets the leader commit what its predecessors left (§5.4.2, §8).
        self._append_to_own_log(EntryKind.NOOP, b"")
        self._heartbeat_due = True
        self._next_heartbeat = now + self.config.heartbeat_interval

    def _become_follower(self, term: int, leader: str | None, now: float, reason: str) -> None:
        was = self.role
        if term > self.current_term:
            self.current_term = term
            self.voted_for = None
        self.role = Role.FOLLOWER
        if was is Role.LEADER:
            self.progress = {}
            self.transfer_target = None
            self._output.failed_reads += self._reads.clear()
            self._reset_election_timer(now)
        if was is not Role.FOLLOWER:
            self._notice(BecameFollower(self.current_term, leader, reason))
        self._follow(leader)

    def _follow(self, leader: str | None) -> None:
        if leader != self.leader:
            self.leader = leader
            self._notice(LeaderChanged(self.current_term, leader))

    def _answer_old_term(self, message: Message) -> None:
        """The sender is behind: our term in the answer makes it step down (§5.1). Answers need no answer."""
        match message.body:
            case RequestVote():
                self._send(message.sender, RequestVoteReply(vote_granted=False))
            case AppendEntries(prev_log_index=rejected_index):
                self._send(message.sender, AppendEntriesReply(success=False, rejected_index=rejected_index))

    # --- replication: the follower's side (§5.3) --------------------------------------------------------------------

    def _handle_append_entries(self, leader: str, request: AppendEntries, now: float) -> None:
        if self.role is Role.LEADER:
            raise InvariantError(
                f"Election Safety (§5.2): {leader} and {self.node_id} both lead term {self.current_term}"
            )
        self._become_follower(self.current_term, leader, now, f"{leader} leads")
        self._leader_heard_at = now
        self._reset_election_timer(now)
        found_term = self.log.term_at(request.prev_log_index)
        if found_term != request.prev_log_term:
            self._send(leader, self._refusal(request, found_term))
            return
        self._store(request.entries)
        last_new_index = request.prev_log_index + len(request.entries)
        self.commit_index = max(self.commit_index, min(request.leader_commit, last_new_index))
        self._send(leader, AppendEntriesReply(True, match_index=last_new_index, read_round=request.read_round))

    def _refusal(self, request: AppendEntries, found_term: int | None) -> AppendEntriesReply:
        """What lets the leader pass over a whole term of conflicting entries at once (§5.3)."""
        if found_term is None:
            conflict_term, conflict_index = 0, self.log.last_index + 1
        else:
            conflict_term = found_term
            conflict_index = self.log.first_index_of_term_at(request.prev_log_index)
        return AppendEntriesReply(
            success=False,
            rejected_index=request.prev_log_index,
            conflict_term=conflict_term,
            conflict_index=conflict_index,
            read_round=request.read_round,
        )

    def _store(self, entries: Sequence[Entry]) -> None:
        """Take over what is new; remove what conflicts, and only that: the message may be an old one (§5.3)."""
        for entry in entries:
            found_term = self.log.term_at(entry.index)
            if found_term == entry.term:
                continue
            if found_term is not None:
                self._truncate_from(entry.index)
            self.log.append(entry)

    def _truncate_from(self, index: int) -> None:
        if index <= self.commit_index:
            raise InvariantError(
                f"Leader Completeness (§5.4): term {self.current_term} would replace entry {index} of {self.node_id}, "
                f"which is committed (commit index {self.commit_index})"
            )
        self.log.truncate_from(index)
        self._first_unsaved = min(self._first_unsaved, index)
        self._durable_index = min(self._durable_index, index - 1)

    # --- leadership: kept, given up, handed over (dissertation §6.2, §3.10) -----------------------------------------

    def _tick_leader(self, now: float) -> None:
        self._heartbeat_due = True
        self._next_heartbeat = now + self.config.heartbeat_interval
        if self.transfer_target is not None and now >= self._transfer_deadline:
            self._notice(TransferEnded(self.current_term, self.transfer_target))
            self.transfer_target = None
        quorum_heard_at = self._held_by_quorum(now, (progress.heard_at for progress in self.progress.values()))
        if self.config.check_quorum and now - quorum_heard_at > self.config.election_timeout_max:
            self._become_follower(self.current_term, None, now, "no quorum has answered for an election time-out")

    def _handle_timeout_now(self, leader: str, now: float) -> None:
        """The leader itself wants this election, so no pre-vote, and voters need not protect it."""
        if self.role is not Role.LEADER and leader == self.leader:
            self._start_election(now, leadership_transfer=True)

    def _maybe_hand_over(self) -> None:
        if self.transfer_target is None:
            return
        if self.progress[self.transfer_target].match_index == self.log.last_index:
            self._send(self.transfer_target, TimeoutNow())

    # --- replication: the leader's side (§5.3, §5.4.2) --------------------------------------------------------------

    def _require_leader(self) -> None:
        if self.role is not Role.LEADER:
            raise NotLeaderError(self.leader)

    def _append_to_own_log(self, kind: EntryKind, data: bytes) -> Entry:
        entry = Entry(self.log.last_index + 1, self.current_term, kind, data)
        self.log.append(entry)
        return entry

    def _send_to_followers(self) -> None:
        """Appends where there is something to send; heartbeats where they are due and nothing else goes."""
        ask_all = self._heartbeat_due
        if self.log.term_at(self.commit_index) == self.current_term and self._reads.begin_round(self.commit_index):
            ask_all = True
            self._confirm_reads()
        if self._heartbeat_due:
            self._maybe_hand_over()
        for peer, progress in self.progress.items():
            # A lost probe is sent again at the next heartbeat, and not with each round of reads: entries are heavy.
            if self._heartbeat_due:
                progress.probe_in_flight = False
            if not self._send_appends(peer, progress) and ask_all:
                self._send_append(peer, progress, ())
        self._heartbeat_due = False

    def _send_appends(self, peer: str, progress: Progress) -> bool:
        sent = False
        while progress.next_index <= self.log.last_index and progress.may_send(self.config.appends_in_flight_max):
            entries = self.log.slice_bytes(progress.next_index, self.config.append_bytes_max)
            self._send_append(peer, progress, entries)
            progress.sent(entries[-1].index)
            sent = True
        return sent

    def _send_append(self, peer: str, progress: Progress, entries: tuple[Entry, ...]) -> None:
        prev_log_index = progress.next_index - 1
        prev_log_term = self.log.term_at(prev_log_index)
        if prev_log_term is None:
            raise InvariantError(f"{self.node_id} leads and lacks entry {prev_log_index} of its own log")
        body = AppendEntries(prev_log_index, prev_log_term, entries, self.commit_index, self._reads.round)
        self._output.early_messages.append(Message(self.node_id, peer, self.current_term, body))

    def _handle_append_entries_reply(self, follower: str, reply: AppendEntriesReply, now: float) -> None:
        if self.role is not Role.LEADER:
            return
        progress = self.progress[follower]
        progress.heard_at = now
        progress.read_round = max(progress.read_round, reply.read_round)
        self._confirm_reads()
        if reply.success:
            progress.matched(reply.match_index)
            if follower == self.transfer_target:
                self._maybe_hand_over()
            self._advance_commit_index()
        elif not progress.is_stale_rejection(reply.rejected_index):
            progress.rejected(self._back_up(reply))

    def _back_up(self, reply: AppendEntriesReply) -> int:
        """The nextIndex to try after a refusal (§5.3)."""
        last_of_term = self.log.last_index_of_term(reply.conflict_term) if reply.conflict_term else None
        candidate = reply.conflict_index if last_of_term is None else last_of_term + 1
        return min(candidate, reply.rejected_index)

    def _advance_commit_index(self) -> None:
        """The highest index on a majority of disks is committed, if it is of this term (§5.4.2, Figure 8)."""
        majority_index = self._held_by_quorum(
            self._durable_index, (progress.match_index for progress in self.progress.values())
        )
        if majority_index > self.commit_index and self.log.term_at(majority_index) == self.current_term:
            self.commit_index = majority_index

    def _confirm_reads(self) -> None:
        confirmed_round = self._held_by_quorum(
            self._reads.round, (progress.read_round for progress in self.progress.values())
        )
        self._output.reads += self._reads.confirmed(confirmed_round)

    def _held_by_quorum(self, own: Number, of_followers: Iterable[Number]) -> Number:
        """The greatest number that a quorum has reached, given this node's own and its followers'."""
        numbers = list(of_followers)
        numbers.append(own)
        numbers.sort(reverse=True)
        return numbers[self.quorum - 1]

    # --- small things -----------------------------------------------------------------------------------------------

    def _send(self, recipient: str, body: Body) -> None:
        self._output.messages.append(Message(self.node_id, recipient, self.current_term, body))

    def _notice(self, notice: Notice) -> None:
        self._output.notices.append(notice)
