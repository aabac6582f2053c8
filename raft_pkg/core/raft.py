"""The Raft protocol of one node: §5 to §7 of the paper; of the dissertation leadership transfer (§3.10), members and
learners (§4), protection of a working leader (§4.2.3, §6.2), ReadIndex and leases (§6.4) and the pre-vote (§9.6).

Pure: it owns the protocol's state and nothing else. It reads no clock (`now`, in seconds of any monotonic clock, is
an argument), draws chance only from the generator it was given, and does no I/O: its methods change memory, and
`take_ready` says what the caller must write, send and apply, in which order. Same calls, same results.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from random import Random

from raft_pkg.core import membership
from raft_pkg.core.config import RaftConfig
from raft_pkg.core.configuration import Configuration, Electorate, Member, Number
from raft_pkg.core.log import RaftLog
from raft_pkg.core.membership import (
    AddLearner,
    BootstrapPeers,
    Change,
    ChangeRefusedError,
    ConfigurationLog,
    Promote,
)
from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Body,
    Discovery,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    PreVote,
    PreVoteReply,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raft_pkg.core.progress import Progress
from raft_pkg.core.reads import ForwardedReads, ReadQueue
from raft_pkg.core.ready import (
    BecameFollower,
    BecameLeader,
    ChangeCompleted,
    ChangeFailed,
    ConfigurationChanged,
    ElectionStarted,
    LeaderChanged,
    PreVoteStarted,
    RaftEvent,
    Ready,
    TransferEnded,
    TransferStarted,
    VoteGranted,
)
from raft_pkg.core.snapshots import SnapshotInbox
from raft_pkg.core.types import Entry, EntryKind, HardState, Role, SnapshotMetadata

BOOTSTRAP_TERM = 1
"""In this term a cluster begins, without an election: nobody votes in it."""
JOIN_ELECTION_TIMEOUTS = 20
"""For so many of the longest election time-outs a leader waits for a node that is to be added to answer."""


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
    """One node of a Raft cluster. See the module's docstring, and `Ready` for what the caller owes it."""

    def __init__(
        self,
        node_id: str,
        configuration: Configuration,
        *,
        config: RaftConfig,
        random: Random,
        now: float,
        incarnation: int = 0,
        hard_state: HardState | None = None,
        entries: Sequence[Entry] = (),
        base: tuple[int, int] = (0, 0),
        snapshot: SnapshotMetadata | None = None,
        peers: Mapping[str, str] | None = None,
    ) -> None:
        """Begin as a follower with what the storage recovered (all of it synced; None: an empty disk).

        `entries` follow the entry whose index and term are `base`; the snapshot's index is not below it. The newest
        configuration of entries and snapshot counts, and `configuration` where they have none. A node that knows of
        none waits until a cluster adds it, or begins one with `peers` (identity to address, itself included) when none
        of them belongs to one.

        Raises `ValueError` when the entries have gaps.
        """
        self.node_id = node_id
        self.incarnation = incarnation
        self.config = config
        self._random = random
        self._now = now

        hard_state = hard_state or HardState()
        self.current_term = hard_state.current_term
        self.voted_for = hard_state.voted_for
        self.log = RaftLog(entries, base_index=base[0], base_term=base[1])
        self.snapshot = snapshot
        """The newest snapshot that this node has; it stands for at least all that the log no longer has."""
        if snapshot is not None and snapshot.index > self.log.last_index:
            self.log.reset(snapshot.index, snapshot.term)
        self.commit_index = snapshot.index if snapshot else 0
        self.role = Role.FOLLOWER
        self.leader: str | None = None
        self.progress: dict[str, Progress] = {}
        self.transfer_target: str | None = None
        """To whom this leader is handing over; it takes no proposals meanwhile."""

        self._saved_hard_state = hard_state
        self._first_unsaved = self.log.last_index + 1
        self._durable_index = self.log.last_index
        self._handed_out = self.commit_index
        self._votes: dict[str, bool] = {}
        # Some of these numbers travel: a late answer to this node's former life must not look like one to this.
        self._numbers = count(random.getrandbits(48))
        self._reads = ReadQueue()
        self._forwarded_reads = ForwardedReads()
        self._reads_of_followers: dict[int, tuple[Message, ReadIndex]] = {}
        self._lease_until = now
        self._lease_given_up = False
        self._heartbeat_due = False
        self._next_heartbeat = now
        self._election_deadline = now
        self._leader_incarnation = 0
        self._leader_has_lease = False
        # A node that restarts may have answered a leader just before: it protects that leader all the same.
        self._leader_heard_at = now
        self._transfer_deadline = now
        self._inbox = SnapshotInbox()
        self._bootstrap_peers = BootstrapPeers(dict(peers or {}))
        self._challenges: dict[str, int] = {}
        self._joining: AddLearner | None = None
        self._join_deadline = now
        self._ready = Ready()
        self._recover_configurations(configuration)
        if self.configuration:
            self._reset_election_timer(now)
        elif self.is_uninitialized:
            self._leader_heard_at = float("-inf")

    # --- who belongs to the cluster -------------------------------------------------------------------------------

    @property
    def configuration(self) -> Configuration:
        """What this node goes by: the newest configuration of its log, committed or not (§6)."""
        return self._configurations.newest

    @property
    def configuration_index(self) -> int:
        """The log index of that configuration; 0: none was ever in the log."""
        return self._configurations.newest_index

    @property
    def voters(self) -> tuple[str, ...]:
        """Identities of the voters; while two configurations decide together, of the newer ones."""
        return tuple(member.node_id for member in self.configuration.voters)

    @property
    def quorum(self) -> int:
        """How many of the voters are a majority."""
        return self._electorate.quorum

    @property
    def is_uninitialized(self) -> bool:
        """Whether this node has promised nothing to anybody, and was told nothing: it may begin a cluster."""
        # One in the very first term has stopped between writing that and the first entry.
        no_promise = self.current_term <= BOOTSTRAP_TERM and self.voted_for is None
        return no_promise and not self.configuration and self.log.last_index == 0

    @property
    def addresses(self) -> dict[str, str]:
        """Identity to HOST:PORT of those whom this node may want to reach; the configuration's word is the last."""
        bootstrap_peers = self._bootstrap_peers
        known = {} if self.configuration else {**bootstrap_peers.peers, **bootstrap_peers.leaders}
        if self._joining is not None:
            known[self._joining.node_id] = self._joining.address
        known.update({member.node_id: member.address for member in self.configuration.members if member.address})
        return known

    def configuration_at(self, index: int) -> Configuration:
        """The newest configuration up to an index, which is at least that of the last snapshot."""
        return self._configurations.at(index)

    def _recover_configurations(self, configuration: Configuration) -> None:
        snapshot = self.snapshot
        base = (snapshot.index, snapshot.configuration) if snapshot else (0, configuration)
        self._configurations = ConfigurationLog([base])
        for entry in self.log.slice(max(base[0] + 1, self.log.first_index), self.log.last_index + 1):
            if entry.kind is EntryKind.CONFIGURATION:
                self._configurations.append(entry.index, Configuration.decode(entry.data))
        self._use_effective_configuration()

    def _use_effective_configuration(self) -> None:
        """Another configuration is the newest one: count, send and stand for election by it."""
        configuration = self.configuration
        self._electorate = Electorate(configuration)
        self.is_voter = configuration.votes(self.node_id, self.incarnation)
        self._incarnations = {member.node_id: member.incarnation for member in configuration.members}
        self.peers = tuple(peer for peer in self._incarnations if peer != self.node_id)
        self._ready.addresses = self.addresses
        if self.role is Role.LEADER:
            self._track_followers()

    def _configuration_changed(self) -> None:
        self._use_effective_configuration()
        self._emit(ConfigurationChanged(self.current_term, self.configuration_index, self.configuration))

    def _track_followers(self) -> None:
        """Replicate to all members, and to no others; what a former incarnation had is void."""
        before, self.progress = self.progress, {}
        for peer in self.peers:
            progress, incarnation = before.get(peer), self._incarnations[peer]
            if progress is None or progress.incarnation != incarnation:
                progress = Progress(self.log.last_index + 1, self._now, incarnation=incarnation)
            self.progress[peer] = progress

    # --- what the caller calls ------------------------------------------------------------------------------------

    def next_timeout(self) -> float:
        """The time at which `tick` has something to do."""
        return self._next_heartbeat if self.role is Role.LEADER else self._election_deadline

    def tick(self, now: float) -> None:
        """Time has passed: send heartbeats, try to become leader (§5.2), or look for the cluster."""
        self._now = now
        if now < self.next_timeout():
            return
        if self.role is Role.LEADER:
            self._tick_leader(now)
            return
        self._ready.failed_reads += self._forwarded_reads.give_up()
        if not self.configuration:
            self._look_for_cluster(now)
        elif not self._may_campaign():
            self._wait_for_leader(now)
        elif self.config.pre_vote:
            self._start_pre_vote(now)
        else:
            self._start_election(now)

    def receive(self, message: Message, now: float) -> None:
        """A message has arrived. Those meant for others, or for another incarnation of this node, are passed over.

        Candidates and leaders outside this node's configuration are answered: their log may have a newer one (§6).
        Answers count only from members, in the incarnation that they are members in.
        """
        self._now = now
        body = message.body
        if message.recipient != self.node_id or message.sender == self.node_id:
            return
        if isinstance(body, Discovery):
            self._handle_discovery(message, body, now)
            return
        if message.recipient_incarnation != self.incarnation or not self._is_from_member(message):
            return
        match body:
            case PreVote():  # obliges nobody to take over its term
                self._handle_pre_vote(message, body, now)
                return
            case RequestVote(leadership_transfer=False) if self._in_lease(now):
                return
        if message.term > self.current_term:
            self._become_follower(message.term, None, now, f"{message.sender} has a newer term")
        if isinstance(body, PreVoteReply):  # of a voter that may be in an older term
            self._handle_pre_vote_reply(message.sender, body, now)
        elif message.term < self.current_term:
            self._answer_old_term(message)
        else:
            self._receive_in_term(message, now)

    def peer_unreachable(self, peer: str, now: float) -> None:
        """The process of `peer` has ended: its machine says so, or seems to.

        Who follows it waits a little, until the others know it too and so that not all stand at once, and then asks who
        would vote, as after an election time-out. Safety does not depend on timing (§5.6), and a leader that lives is
        protected by those who hear it (dissertation §4.2.3, §9.6). Leases do depend on timing (§6.4.1): where the
        leader may have one, and where nobody protects leaders or is asked before an election, the time-out is waited
        for.
        """
        self._now = now
        is_careful = self.config.pre_vote and self.config.check_quorum and not self._leader_has_lease
        if peer != self.leader or self.role is Role.LEADER or not is_careful:
            return
        self._leader_heard_at = float("-inf")
        wait = self.config.election_timeout_min * self._random.uniform(0.1, 0.75)
        self._election_deadline = min(self._election_deadline, now + wait)

    def propose(self, data: bytes, kind: EntryKind = EntryKind.COMMANDS) -> Entry:
        """Append an entry to the leader's log; it is committed when it comes out of `take_ready`.

        If another entry comes out at its index, it is lost for ever. Raises `NotLeaderError`, also while leadership is
        being handed over (`transfer_target`).
        """
        self._require_leader()
        if self.transfer_target is not None:
            raise NotLeaderError(None)
        return self._append_to_own_log(kind, data)

    def read_index(self, *, any_node: bool = False) -> int:
        """Ask for a linearizable read; returns its number, which `Ready.reads` or `failed_reads` will name.

        Raises `NotLeaderError`; with `any_node`, which lets a follower ask its leader, only if none is known.
        """
        if self.role is not Role.LEADER and (not any_node or self.leader is None):
            raise NotLeaderError(self.leader)
        number = next(self._numbers)
        reads = self._reads if self.role is Role.LEADER else self._forwarded_reads
        reads.add(number)
        return number

    def transfer_leadership(self, target: str, now: float) -> None:
        """Hand leadership over to `target` (dissertation §3.10): bring it up to date, then let it time out at once.

        Gives up after an election time-out. Raises `NotLeaderError`, and `TransferRefusedError` with the reason.
        """
        self._require_leader()
        progress = self.progress.get(target)
        if progress is None or target not in self.voters:
            others = ", ".join(voter for voter in self.voters if voter != self.node_id) or "there is none"
            raise TransferRefusedError(f"{target} is not a voter besides this leader ({others})")
        self._now = now
        if self._is_silent(progress):
            raise TransferRefusedError(f"{target} has not answered for {now - progress.heard_at:.1f} s")
        self.transfer_target = target
        self._transfer_deadline = now + self.config.election_timeout_max
        self._heartbeat_due = True
        self._emit(TransferStarted(self.current_term, target))

    def change_members(self, change: Change, now: float) -> None:
        """Begin one change of the members (§6); a raft_event `ChangeCompleted` or `ChangeFailed` tells its end.

        Raises `NotLeaderError`, and `ChangeRefusedError` with the reason: another change is under way, the leader has
        not committed in its own term yet, or the change makes no sense, or would leave no quorum that answers; and
        `ValueError` for an identity that no member can have.
        """
        self._require_leader()
        self._now = now
        why_not = self._why_no_change_now()
        if why_not is not None:
            raise ChangeRefusedError(why_not)
        match change:
            case AddLearner(node_id, address, promote):
                membership.with_learner(self.configuration, Member(node_id, address), promote=promote)
                self._join(change)
                self._join_deadline = now + JOIN_ELECTION_TIMEOUTS * self.config.election_timeout_max
                self._challenge(node_id)
            case Promote(node_id):
                self._promote(node_id)
            case _:
                self._change_configuration(membership.removed(self.configuration, change.node_id))

    def snapshot_taken(self, snapshot: SnapshotMetadata) -> None:
        """The caller has a snapshot of the state machine on disk: the log before it may go, save for a tail (§7)."""
        self.snapshot = snapshot
        self._configurations.compact(snapshot.index)
        keep_after = self.log.tail(snapshot.index, self.config.tail_entries_max, self.config.tail_bytes_max)
        if keep_after > self.log.base_index:
            self.log.compact(keep_after)

    def is_sending_snapshot(self) -> bool:
        """Whether a follower that answers is being sent the newest snapshot: another one would start that anew."""
        heard_after = self._now - self.config.election_timeout_max
        return any(p.snapshot is not None and p.heard_at > heard_after for p in self.progress.values())

    def synced(self, entry: Entry) -> None:
        """All that was written up to and including `entry` is on disk.

        Only now does a leader count itself for a majority (§5.3): its own disk can fail as any other.
        """
        if self.log.term_at(entry.index) == entry.term:
            self._durable_index = max(self._durable_index, entry.index)
            if self.role is Role.LEADER:
                self._advance_commit_index()

    def take_ready(self) -> Ready:
        """What is to be done now; the caller does all of it before it calls anything but `synced`."""
        if self.role is Role.LEADER:
            self._send_to_followers()
        else:
            self._ask_leader()
        ready = self._ready
        self._ready = Ready()
        hard_state = HardState(self.current_term, self.voted_for)
        if hard_state != self._saved_hard_state:
            ready.hard_state = self._saved_hard_state = hard_state
            # A leader by its own vote alone would lead the same term once more if it crashed before the sync.
            ready.messages += ready.early_messages
            ready.early_messages = []
        ready.entries = self.log.slice(self._first_unsaved, self.log.last_index + 1)
        self._first_unsaved = self.log.last_index + 1
        ready.committed = self.log.slice(self._handed_out + 1, self.commit_index + 1)
        self._handed_out = self.commit_index
        ready.reads += self._forwarded_reads.committed(self.commit_index)
        return ready

    # --- messages ---------------------------------------------------------------------------------------------------

    def _is_from_member(self, message: Message) -> bool:
        """Whether an answer comes from a member: what another incarnation of it has said is void."""
        match message.body:
            case PreVoteReply() | RequestVoteReply() | AppendEntriesReply() | InstallSnapshotReply():
                return self._incarnations.get(message.sender) == message.sender_incarnation
        return True

    def _receive_in_term(self, message: Message, now: float) -> None:
        match message.body:
            case RequestVote():
                self._handle_request_vote(message, message.body, now)
            case RequestVoteReply():
                self._handle_request_vote_reply(message.sender, message.body, now)
            case AppendEntries():
                self._handle_append_entries(message, message.body, now)
            case AppendEntriesReply():
                self._handle_append_entries_reply(message.sender, message.body, now)
            case InstallSnapshot():
                self._handle_install_snapshot(message, message.body, now)
            case InstallSnapshotReply():
                self._handle_install_snapshot_reply(message.sender, message.body, now)
            case TimeoutNow():
                self._handle_timeout_now(message.sender, now)
            case ReadIndex():
                self._handle_read_index(message, message.body)
            case ReadIndexReply():
                self._handle_read_index_reply(message.sender, message.body)

    def _answer_old_term(self, message: Message) -> None:
        """The sender is behind: our term in the answer makes it step down (§5.1). Answers need no answer."""
        match message.body:
            case RequestVote():
                self._reply(message, RequestVoteReply(vote_granted=False))
            case AppendEntries(prev_log_index=rejected_index):
                self._reply(message, AppendEntriesReply(success=False, rejected_index=rejected_index))
            case InstallSnapshot(metadata=metadata):
                self._reply(message, InstallSnapshotReply(metadata.index, 0))
            case ReadIndex(number=number):
                self._reply(message, ReadIndexReply(number, 0))

    def _reply(self, message: Message, body: Body) -> None:
        """Answer; it leaves after the sync, since most answers promise something."""
        self._ready.messages.append(
            Message(self.node_id, message.sender, self.current_term, body, self.incarnation, message.sender_incarnation)
        )

    def _message(self, recipient: str, body: Body) -> Message:
        """A message to a member."""
        incarnation = self._incarnations[recipient]
        return Message(self.node_id, recipient, self.current_term, body, self.incarnation, incarnation)

    def _send(self, recipient: str, body: Body) -> None:
        self._ready.messages.append(self._message(recipient, body))

    def _emit(self, raft_event: RaftEvent) -> None:
        self._ready.raft_events.append(raft_event)

    # --- before there is a cluster --------------------------------------------------------------------------------

    def _look_for_cluster(self, now: float) -> None:
        """Ask all that this node was told of who they are, again and again; begin with them if all are uninitialized."""
        self._election_deadline = now + self.config.heartbeat_interval
        self._follow(None)
        for node_id in self.addresses:
            if node_id != self.node_id:
                self._send_discovery(node_id)
        self._maybe_bootstrap(now)

    def _wait_for_leader(self, now: float) -> None:
        """Who has no vote stands for nothing. A member says who it is: the others may know it in another incarnation,
        and what made it a member in this one was perhaps never committed."""
        self._become_follower(self.current_term, None, now, "it has no vote")
        self._reset_election_timer(now)
        if self.node_id in self._incarnations:
            for peer in self.peers:
                self._send_discovery(peer)

    def _send_discovery(self, node_id: str, *, challenge: int = 0) -> None:
        discovery = self._discovery(challenge=challenge)
        self._ready.messages.append(Message(self.node_id, node_id, self.current_term, discovery, self.incarnation))

    def _challenge(self, node_id: str) -> None:
        """Greet a node, and remember what its answer must repeat: it comes from the life that the node lives now."""
        if node_id not in self._challenges:
            self._challenges[node_id] = next(self._numbers)
        self._send_discovery(node_id, challenge=self._challenges[node_id])

    def _discovery(self, *, answer: bool = False, challenge: int = 0) -> Discovery:
        peers = self._bootstrap_peers.peers
        leader = self.leader or ""
        addresses = self.addresses
        address = addresses.get(self.node_id) or peers.get(self.node_id, "")
        return Discovery(
            self.is_uninitialized, tuple(sorted(peers)), address, answer, leader, addresses.get(leader, ""), challenge
        )

    def _handle_discovery(self, message: Message, discovery: Discovery, now: float) -> None:
        sender, incarnation = message.sender, message.sender_incarnation
        if message.recipient_incarnation not in (0, self.incarnation):
            return
        self._bootstrap_peers.heard(sender, incarnation, discovery)
        if not discovery.answer:
            self._reply(message, self._discovery(answer=True, challenge=discovery.challenge))
        if self.role is Role.LEADER:
            self._meet(Member(sender, discovery.address, incarnation), discovery)
        elif not self.configuration:
            self._ready.addresses = self.addresses
            self._maybe_bootstrap(now)

    def _maybe_bootstrap(self, now: float) -> None:
        configuration = (
            self._bootstrap_peers.beginning(self.node_id, self.incarnation) if self.is_uninitialized else None
        )
        if configuration is not None:
            self.current_term = BOOTSTRAP_TERM
            self._append_to_own_log(EntryKind.CONFIGURATION, configuration.encode())
            self._election_deadline = now

    # --- changes of members (§6; dissertation §4) -------------------------------------------------------------------

    def _why_no_change_now(self) -> str | None:
        """Why this leader can't change the members now; None when it can."""
        if self.transfer_target is not None:
            return f"leadership is being handed over to {self.transfer_target}"
        if self._joining is not None:
            return f"another change is under way: {self._joining.node_id} is being added"
        if self.configuration.is_joint or self.configuration_index > self.commit_index:
            return f"another change is under way: the configuration at index {self.configuration_index}"
        if not self._has_committed_in_own_term():
            return f"the leader has committed nothing in its term {self.current_term} yet; try again soon"
        return None

    def _meet(self, member: Member, discovery: Discovery) -> None:
        """A node has told this leader who it is: it may be one that is to be added, or one that lost its disk."""
        node_id = member.node_id
        other_life = self._incarnations.get(node_id, member.incarnation) != member.incarnation
        if discovery.answer and discovery.challenge and discovery.challenge == self._challenges.get(node_id):
            del self._challenges[node_id]
            if self._joining is not None and self._joining.node_id == node_id:
                self._add(self._joining, member.incarnation)
            elif other_life and self._is_silent(self.progress[node_id]) and self._why_no_change_now() is None:
                self._change_if_possible(membership.replaced(self.configuration, member))
        elif other_life and not discovery.answer:
            self._challenge(node_id)  # what it said may have been said by an earlier life, and come late

    def _join(self, change: AddLearner | None) -> None:
        """Wait for a node that is to be added; None: no longer."""
        self._joining = change
        self._ready.addresses = self.addresses

    def _add(self, joining: AddLearner, incarnation: int) -> None:
        """The node that is to be added has answered."""
        self._join(None)
        newcomer = Member(joining.node_id, joining.address, incarnation)
        try:
            self._change_configuration(membership.with_learner(self.configuration, newcomer, promote=joining.promote))
        except ChangeRefusedError as error:
            self._emit(ChangeFailed(self.current_term, str(error)))

    def _change_if_possible(self, configuration: Configuration) -> None:
        """A change that nobody asked for: if it can't be now, the same will be tried again."""
        with suppress(ChangeRefusedError):
            self._change_configuration(configuration)

    def _promote(self, node_id: str) -> None:
        configuration = membership.promoted(self.configuration, node_id)
        progress = self.progress[node_id]
        missing = self.log.last_index - progress.match_index
        if not self._has_caught_up(progress):
            raise ChangeRefusedError(f"{node_id} has not caught up: {missing} entries are missing, or it is silent")
        self._change_configuration(configuration)

    def _has_caught_up(self, progress: Progress) -> bool:
        """Whether a learner is so close behind that as a voter it would hold nobody up (dissertation §4.2.1)."""
        missing = self.log.last_index - progress.match_index
        return missing <= self.config.appends_in_flight_max and self._answers(progress)

    def _is_silent(self, progress: Progress) -> bool:
        return self._now - progress.heard_at > self.config.election_timeout_max

    def _answers(self, progress: Progress) -> bool:
        """Whether a follower takes entries of this leader; one that is new to it must first have shown that it does."""
        return progress.match_index > 0 and not self._is_silent(progress)

    def _change_configuration(self, configuration: Configuration) -> None:
        """Append a configuration, unless no majority of its voters answers: it could never be committed."""
        answering = {self.node_id} | {peer for peer, progress in self.progress.items() if self._answers(progress)}
        if not Electorate(configuration).agreed(answering.__contains__):
            voters = sorted({member.node_id for member in configuration.voters + configuration.outgoing})
            heard = ", ".join(voter for voter in voters if voter in answering) or "none"
            raise ChangeRefusedError(f"it would lose quorum: of the voters {', '.join(voters)} only {heard} answer")
        self._append_to_own_log(EntryKind.CONFIGURATION, configuration.encode())
        self._heartbeat_due = True

    def _tick_membership(self, now: float) -> None:
        """Greet who is to be added, give up on it in the end; promote a learner that waits for it."""
        joining = self._joining
        if joining is not None and now >= self._join_deadline:
            self._join(None)
            waited = JOIN_ELECTION_TIMEOUTS * self.config.election_timeout_max
            why = f"{joining.node_id} did not answer at {joining.address} within {waited:.0f} s; does it run there?"
            self._emit(ChangeFailed(self.current_term, why))
        elif joining is not None:
            self._challenge(joining.node_id)
        elif self._why_no_change_now() is None:
            ready = (n for n in self.configuration.to_promote if self._has_caught_up(self.progress[n]))
            for node_id in ready:
                self._change_if_possible(membership.promoted(self.configuration, node_id))
                break

    def _configuration_committed(self) -> None:
        """C_old,new is committed: go on to C_new. C_new is: a leader that is not in it steps down (§6)."""
        if self.configuration.is_joint:
            self._append_to_own_log(EntryKind.CONFIGURATION, membership.finished(self.configuration).encode())
            self._heartbeat_due = True
        elif not self.is_voter:
            heir = max(self.voters, key=lambda voter: self.progress[voter].match_index)
            self._send_timeout_now(heir)
            self._become_follower(self.current_term, None, self._now, "this node was removed from the voters")

    # --- pre-vote, and protection of a working leader (dissertation §9.6, §4.2.3) -----------------------------------

    def _start_pre_vote(self, now: float) -> None:
        self.role = Role.PRE_CANDIDATE
        self._votes = {self.node_id: True}
        self._reset_election_timer(now)
        self._follow(None)
        self._emit(PreVoteStarted(self.current_term, self.quorum))
        for peer in self.peers:
            self._send(peer, PreVote(self.current_term + 1, self.log.last_index, self.log.last_term))
        self._maybe_start_election(now)

    def _handle_pre_vote(self, message: Message, request: PreVote, now: float) -> None:
        granted = (
            request.next_term > self.current_term
            and self.log.is_up_to_date(request.last_log_index, request.last_log_term)
            and not self._in_lease(now)
        )
        self._reply(message, PreVoteReply(request.next_term, granted))

    def _handle_pre_vote_reply(self, voter: str, reply: PreVoteReply, now: float) -> None:
        if self.role is Role.PRE_CANDIDATE and reply.next_term == self.current_term + 1:
            self._votes[voter] = reply.vote_granted
            self._maybe_start_election(now)

    def _maybe_start_election(self, now: float) -> None:
        if self._has_majority_of_votes():
            self._start_election(now)

    def _has_majority_of_votes(self) -> bool:
        """Whether a majority by this node's configuration agrees; others may vote, and do not count (§6)."""
        return self._electorate.agreed(lambda voter: self._votes.get(voter, False))

    def _in_lease(self, now: float) -> bool:
        """Whether this node leads or has just heard from a leader, so that nobody needs to replace it."""
        heard_lately = now - self._leader_heard_at < self.config.election_timeout_min
        return self.config.check_quorum and (self.role is Role.LEADER or heard_lately)

    # --- elections (§5.2, §5.4.1) -----------------------------------------------------------------------------------

    def _may_campaign(self) -> bool:
        """Whether this node is a voter, or was one until a configuration that may not be committed.

        Nobody else may have the entry that removes it, and then only this node can be elected (dissertation §4.2.2).
        """
        if self.is_voter or self.configuration_index <= self.commit_index:
            return self.is_voter
        return self._configurations.at(self.configuration_index - 1).votes(self.node_id, self.incarnation)

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
        self._emit(ElectionStarted(self.current_term, self.quorum))
        for peer in self.peers:
            self._send(peer, RequestVote(self.log.last_index, self.log.last_term, leadership_transfer))
        self._maybe_become_leader(now)

    def _handle_request_vote(self, message: Message, request: RequestVote, now: float) -> None:
        candidate = message.sender
        granted = self.voted_for in (None, candidate) and self.log.is_up_to_date(
            request.last_log_index, request.last_log_term
        )
        if granted and self.voted_for is None:
            self.voted_for = candidate
            self._emit(VoteGranted(self.current_term, candidate))
        if granted:
            self._reset_election_timer(now)
        self._reply(message, RequestVoteReply(granted))

    def _handle_request_vote_reply(self, voter: str, reply: RequestVoteReply, now: float) -> None:
        if self.role is Role.CANDIDATE:
            self._votes[voter] = reply.vote_granted
            self._maybe_become_leader(now)

    def _maybe_become_leader(self, now: float) -> None:
        if self._has_majority_of_votes():
            self._become_leader(now)

    def _become_leader(self, now: float) -> None:
        votes = tuple(sorted(voter for voter, granted in self._votes.items() if granted))
        self.role = Role.LEADER
        self.progress = {}
        self._track_followers()
        self._lease_until, self._lease_given_up = now, False
        self._emit(BecameLeader(self.current_term, self.log.last_index, votes))
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
            self._give_up_leadership()
            self._reset_election_timer(now)
        if was is not Role.FOLLOWER:
            self._emit(BecameFollower(self.current_term, leader, reason))
        self._follow(leader)

    def _give_up_leadership(self) -> None:
        self.progress = {}
        self.transfer_target = None
        self._join(None)
        self._challenges.clear()
        for message, request in self._reads_of_followers.values():
            self._reply(message, ReadIndexReply(request.number, 0))
        lost = self._reads.clear()
        self._ready.failed_reads += [number for number in lost if number not in self._reads_of_followers]
        self._reads_of_followers.clear()

    def _follow(self, leader: str | None) -> None:
        if leader != self.leader:
            self.leader = leader
            self._ready.failed_reads += self._forwarded_reads.clear()
            self._emit(LeaderChanged(self.current_term, leader))

    # --- replication: the follower's side (§5.3) --------------------------------------------------------------------

    def _hear_leader(self, message: Message, *, leased: bool, now: float) -> None:
        """What every append and every chunk of a snapshot says: its sender leads this term."""
        leader = message.sender
        if self.role is Role.LEADER:
            raise InvariantError(
                f"Election Safety (§5.2): {leader} and {self.node_id} both lead term {self.current_term}"
            )
        self._become_follower(self.current_term, leader, now, f"{leader} leads")
        self._leader_incarnation = message.sender_incarnation
        self._leader_has_lease = leased
        self._leader_heard_at = now
        self._reset_election_timer(now)
        self._ready.failed_reads += self._forwarded_reads.expired(now - self.config.election_timeout_max)

    def _handle_append_entries(self, message: Message, request: AppendEntries, now: float) -> None:
        self._hear_leader(message, leased=request.leased, now=now)
        entries, prev_log_index = request.entries, request.prev_log_index
        if prev_log_index < self.log.base_index:
            # Up to there all was committed before it was compacted, so it matches.
            entries = entries[self.log.base_index - prev_log_index :]
        else:
            found_term = self.log.term_at(prev_log_index)
            if found_term != request.prev_log_term:
                self._reply(message, self._refusal(request, found_term))
                return
        self._store(entries)
        last_new_index = max(prev_log_index + len(request.entries), self.log.base_index)
        self.commit_index = max(self.commit_index, min(request.leader_commit, last_new_index))
        self._reply(message, AppendEntriesReply(True, match_index=last_new_index, read_round=request.read_round))

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
            self._append(entry)

    def _append(self, entry: Entry) -> None:
        self.log.append(entry)
        if entry.kind is EntryKind.CONFIGURATION:
            self._configurations.append(entry.index, Configuration.decode(entry.data))
            self._configuration_changed()

    def _truncate_from(self, index: int) -> None:
        if index <= self.commit_index:
            raise InvariantError(
                f"Leader Completeness (§5.4): term {self.current_term} would replace entry {index} of {self.node_id}, "
                f"which is committed (commit index {self.commit_index})"
            )
        self.log.truncate_from(index)
        self._first_unsaved = min(self._first_unsaved, index)
        self._durable_index = min(self._durable_index, index - 1)
        if self._configurations.truncate_from(index):
            self._configuration_changed()

    # --- snapshots (§7, Figure 13) ----------------------------------------------------------------------------------

    def _handle_install_snapshot(self, message: Message, request: InstallSnapshot, now: float) -> None:
        self._hear_leader(message, leased=request.leased, now=now)
        metadata = request.metadata
        if metadata.index <= self.commit_index or self.log.term_at(metadata.index) == metadata.term:
            # This log has all that the snapshot stands for, so that much of it is committed (§5.3, Log Matching).
            self._inbox.clear()
            self.commit_index = max(self.commit_index, metadata.index)
            next_offset = metadata.size
        else:
            next_offset = self._take_chunk(request)
        self._reply(message, InstallSnapshotReply(metadata.index, next_offset, request.read_round))

    def _take_chunk(self, request: InstallSnapshot) -> int:
        """Keep the next chunk; returns up to where the snapshot is here."""
        chunk = self._inbox.take(request)
        if chunk is not None:
            self._ready.chunks.append(chunk)
            if chunk.is_last:
                self._install(chunk.metadata)
                return chunk.metadata.size
        return self._inbox.next_offset(request.metadata)

    def _install(self, metadata: SnapshotMetadata) -> None:
        """The snapshot takes the place of the whole log (Figure 13, InstallSnapshot, steps 7 and 8)."""
        self._inbox.clear()
        self.snapshot = metadata
        self.log.reset(metadata.index, metadata.term)
        self.commit_index = self._handed_out = self._durable_index = metadata.index
        self._first_unsaved = metadata.index + 1
        self._configurations = ConfigurationLog([(metadata.index, metadata.configuration)])
        self._configuration_changed()

    def _send_chunk(self, peer: str, progress: Progress) -> bool:
        """Send the next chunk of the snapshot, unless one is under way."""
        snapshot = progress.snapshot
        if snapshot is None or progress.chunk_in_flight:
            return False
        progress.chunk_sent()
        body = self._chunk_of(snapshot, progress)
        self._ready.snapshot_messages.append((self._message(peer, body), body))
        return True

    def _chunk_of(self, snapshot: SnapshotMetadata, progress: Progress) -> InstallSnapshot:
        """The next chunk for a follower, without its data."""
        offset, leased = progress.snapshot_offset, self.config.lease_reads
        return InstallSnapshot(snapshot, offset, b"", self._reads.round, leased=leased)

    def _handle_install_snapshot_reply(self, follower: str, reply: InstallSnapshotReply, now: float) -> None:
        if self.role is not Role.LEADER:
            return
        progress = self.progress[follower]
        self._hear_follower(progress, reply.read_round, now)
        if progress.has_snapshot_up_to(reply.index, reply.next_offset):
            self._matched(follower, progress, reply.index)

    # --- leadership: kept, given up, handed over (dissertation §6.2, §3.10) -----------------------------------------

    def _tick_leader(self, now: float) -> None:
        self._heartbeat_due = True
        self._next_heartbeat = now + self.config.heartbeat_interval
        if self.transfer_target is not None and now >= self._transfer_deadline:
            self._end_transfer()
        quorum_heard_at = self._reached_by_quorum(now, {p: progress.heard_at for p, progress in self.progress.items()})
        if self.config.check_quorum and now - quorum_heard_at > self.config.election_timeout_max:
            self._become_follower(self.current_term, None, now, "no quorum has answered for an election time-out")
        else:
            self._tick_membership(now)

    def _handle_timeout_now(self, leader: str, now: float) -> None:
        """The leader itself wants this election, so no pre-vote, and voters need not protect it."""
        if self.role is not Role.LEADER and leader == self.leader and self.is_voter:
            self._start_election(now, leadership_transfer=True)

    def _maybe_hand_over(self) -> None:
        if self.transfer_target is None:
            return
        if self.progress[self.transfer_target].match_index == self.log.last_index:
            self._send_timeout_now(self.transfer_target)

    def _send_timeout_now(self, target: str) -> None:
        """From now on another leader may be elected at any time, whatever voters have promised this one."""
        self._lease_given_up = True
        self._send(target, TimeoutNow())

    def _end_transfer(self) -> None:
        assert self.transfer_target is not None
        self._emit(TransferEnded(self.current_term, self.transfer_target))
        self.transfer_target = None

    # --- replication: the leader's side (§5.3, §5.4.2) --------------------------------------------------------------

    def _require_leader(self) -> None:
        if self.role is not Role.LEADER:
            raise NotLeaderError(self.leader)

    def _append_to_own_log(self, kind: EntryKind, data: bytes) -> Entry:
        entry = Entry(self.log.last_index + 1, self.current_term, kind, data)
        self._append(entry)
        return entry

    def _has_committed_in_own_term(self) -> bool:
        return self.log.term_at(self.commit_index) == self.current_term

    def _send_to_followers(self) -> None:
        """Appends where there is something to send; heartbeats where they are due and nothing else goes."""
        if self._heartbeat_due and self.config.lease_reads:
            self._reads.begin_lease_round(self._now)
            self._confirm_reads()
        ask_all = self._begin_reads() or self._heartbeat_due
        if self._heartbeat_due:
            self._maybe_hand_over()
        for peer, progress in self.progress.items():
            if self._heartbeat_due:
                progress.heartbeat()
            if not self._send_appends(peer, progress) and ask_all:
                self._send_heartbeat(peer, progress)
        self._heartbeat_due = False

    def _send_appends(self, peer: str, progress: Progress) -> bool:
        if progress.next_index <= self.log.base_index or progress.snapshot is not None:
            if self.snapshot is None:
                raise InvariantError(
                    f"{self.node_id} leads, and has neither entry {progress.next_index} nor a snapshot"
                )
            progress.needs_snapshot(self.snapshot)
            return self._send_chunk(peer, progress)
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
        body = AppendEntries(
            prev_log_index,
            prev_log_term,
            entries,
            self.commit_index,
            self._reads.round,
            leased=self.config.lease_reads,
        )
        self._ready.early_messages.append(self._message(peer, body))

    def _send_heartbeat(self, peer: str, progress: Progress) -> None:
        if progress.snapshot is None:
            self._send_append(peer, progress, ())
        else:
            body = self._chunk_of(progress.snapshot, progress)
            self._ready.early_messages.append(self._message(peer, body))

    def _hear_follower(self, progress: Progress, read_round: int, now: float) -> None:
        """What every answer says: the follower was there, and has seen this round of heartbeats."""
        progress.heard_at = now
        progress.read_round = max(progress.read_round, read_round)
        self._confirm_reads()

    def _handle_append_entries_reply(self, follower: str, reply: AppendEntriesReply, now: float) -> None:
        if self.role is not Role.LEADER:
            return
        progress = self.progress[follower]
        self._hear_follower(progress, reply.read_round, now)
        if reply.success:
            self._matched(follower, progress, reply.match_index)
        elif not progress.is_stale_rejection(reply.rejected_index):
            progress.rejected(self._back_up(reply))

    def _matched(self, follower: str, progress: Progress, match_index: int) -> None:
        progress.matched(match_index)
        if follower == self.transfer_target:
            self._maybe_hand_over()
        self._advance_commit_index()

    def _back_up(self, reply: AppendEntriesReply) -> int:
        """The nextIndex to try after a refusal (§5.3)."""
        last_of_term = self.log.last_index_of_term(reply.conflict_term) if reply.conflict_term else None
        candidate = reply.conflict_index if last_of_term is None else last_of_term + 1
        return min(candidate, reply.rejected_index)

    def _advance_commit_index(self) -> None:
        """The highest index on a majority of disks is committed, if it is of this term (§5.4.2, Figure 8)."""
        majority_index = self._reached_by_quorum(
            self._durable_index, {peer: progress.match_index for peer, progress in self.progress.items()}
        )
        before = self.commit_index
        if majority_index > before and self.log.term_at(majority_index) == self.current_term:
            self.commit_index = majority_index
            if before < self.configuration_index <= majority_index and not self.configuration.is_joint:
                self._emit(ChangeCompleted(self.current_term, self.configuration_index))
            if self.configuration_index <= majority_index:
                self._configuration_committed()

    def _reached_by_quorum(self, own: Number, of_followers: dict[str, Number]) -> Number:
        """The greatest number that a quorum has reached, given this node's own and its followers'."""
        of_followers[self.node_id] = own
        return self._electorate.reached(of_followers)

    # --- reads (dissertation §6.4) ----------------------------------------------------------------------------------

    def _begin_reads(self) -> bool:
        """Serve the reads that wait by the lease, or begin a round of heartbeats for them; whether one has begun."""
        if not self._has_committed_in_own_term():
            return False
        if self._holds_lease():
            self._serve_reads((number, self.commit_index) for number in self._reads.take_waiting())
            return False
        begun = self._reads.begin_round(self.commit_index, self._now)
        if begun:
            self._confirm_reads()
        return begun

    def _holds_lease(self) -> bool:
        """Whether nobody can have been elected since: a majority has promised to protect this leader (§6.4.1)."""
        return self.config.lease_reads and not self._lease_given_up and self._now < self._lease_until

    def _confirm_reads(self) -> None:
        confirmed_round = self._reached_by_quorum(
            self._reads.round, {peer: progress.read_round for peer, progress in self.progress.items()}
        )
        began = self._reads.began(confirmed_round)
        if began is not None:
            self._lease_until = began + self.config.election_timeout_min * (1 - self.config.clock_drift_max)
        self._serve_reads(self._reads.confirmed(confirmed_round))

    def _serve_reads(self, reads: Iterable[tuple[int, int]]) -> None:
        """Reads may go, each at its index: those of callers here, and those that a follower asked for."""
        for number, index in reads:
            asked = self._reads_of_followers.pop(number, None)
            if asked is None:
                self._ready.reads.append((number, index))
            else:
                message, request = asked
                self._reply(message, ReadIndexReply(request.number, index))

    def _ask_leader(self) -> None:
        """One question for all reads of this turn."""
        if self.leader is None:
            return
        question = self._forwarded_reads.ask(self._now)
        if question is not None:
            body = ReadIndex(question)
            self._ready.early_messages.append(
                Message(self.node_id, self.leader, self.current_term, body, self.incarnation, self._leader_incarnation)
            )

    def _handle_read_index(self, message: Message, request: ReadIndex) -> None:
        if self.role is not Role.LEADER:
            self._reply(message, ReadIndexReply(request.number, 0))
            return
        number = self.read_index()
        self._reads_of_followers[number] = message, request

    def _handle_read_index_reply(self, sender: str, reply: ReadIndexReply) -> None:
        if sender == self.leader and self.role is not Role.LEADER:
            self._ready.failed_reads += self._forwarded_reads.answered(reply.number, reply.index)
