"""The Raft protocol of one node: §5 to §7 of the paper, and of the dissertation leadership transfer (§3.10), membership
changes and learners (§4), leader stickiness (§4.2.3, §6.2), ReadIndex and leases (§6.4), and pre-votes (§9.6).

The core is pure: it reads no clock (`now`, in seconds of any monotonic clock, is an argument), draws random numbers
only from the generator that it is given, and does no I/O. Its methods change memory; `take_ready` returns what the
caller must write, send and apply, and in which order. The same calls give the same results.
"""

from collections.abc import Mapping, Sequence
from random import Random

from raft_pkg.core.bootstrap import AddressBook, Bootstrap, BootstrapPeers
from raft_pkg.core.config import RaftConfig
from raft_pkg.core.configuration import Configuration, Member
from raft_pkg.core.effective_configuration import EffectiveConfiguration
from raft_pkg.core.elections import Elections
from raft_pkg.core.errors import InvariantError, NotLeaderError
from raft_pkg.core.follower import Follower
from raft_pkg.core.log import RaftLog
from raft_pkg.core.membership import Change
from raft_pkg.core.membership_changes import MembershipChanges
from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
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
from raft_pkg.core.read_index import FollowerReads, LeaderReads
from raft_pkg.core.ready import BecameFollower, BecameLeader, ConfigurationCommitted, LeaderChanged, Ready
from raft_pkg.core.replicated_log import ReplicatedLog
from raft_pkg.core.replication import Replication
from raft_pkg.core.state import RaftState
from raft_pkg.core.transfer import LeadershipTransfer
from raft_pkg.core.types import Entry, EntryKind, HardState, Role, SnapshotMetadata


class Raft:
    """One node of a Raft cluster.

    `Raft` dispatches calls and messages, and makes the transitions between roles. Its parts own the rest of the state:
    they share `RaftState`, and none of them calls `Raft` back.
    """

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
        """Start as a follower with the recovered state, all of which is durable; without it, the disk is empty.

        `base` is index and term of the entry before `entries`; the index of `snapshot` must not be below it. The
        effective configuration is the newest in entries and snapshot, and `configuration` if they have none. A node
        without a configuration waits until a cluster adds it, or bootstraps one with `peers` (identity to address,
        including this node) if none of them belongs to a cluster.

        Raise `ValueError` if the entries are not consecutive.
        """
        log = RaftLog(entries, base_index=base[0], base_term=base[1])
        if snapshot is not None and snapshot.index > log.last_index:
            log.reset(snapshot.index, snapshot.term)
        self.node_id = node_id
        """Identity of this node."""
        self.incarnation = incarnation
        """Incarnation of this node, drawn when its disk was first used."""
        self.config = config
        """Time-outs and limits."""
        self.log = log
        """The entries in memory."""
        self._state = RaftState(
            node_id,
            incarnation,
            config=config,
            random=random,
            now=now,
            hard_state=hard_state or HardState(),
            log=log,
            snapshot=snapshot,
        )
        self._configuration = EffectiveConfiguration(self._state, configuration, self._configuration_changed)
        self._log = ReplicatedLog(self._state, self._configuration)
        self._elections = Elections(self._state, self._configuration)
        self._follower = Follower(self._state, self._log)
        self._follower_reads = FollowerReads(self._state)
        self._replication = Replication(self._state, self._configuration, self._log)
        self._leader_reads = LeaderReads(self._state, self._replication)
        self._transfer = LeadershipTransfer(self._state, self._configuration, self._replication, self._leader_reads)
        bootstrap_peers = BootstrapPeers(dict(peers or {}))
        self._addresses = AddressBook(self._configuration, bootstrap_peers)
        self._bootstrap = Bootstrap(self._state, self._configuration, self._log, bootstrap_peers, self._addresses)
        self._changes = MembershipChanges(
            self._state,
            self._configuration,
            self._log,
            replication=self._replication,
            transfer=self._transfer,
            bootstrap=self._bootstrap,
            addresses=self._addresses,
        )
        if self.configuration:
            self._elections.reset_timer()
        elif self.is_uninitialized:
            self._elections.forget_leader_contact()

    def _configuration_changed(self) -> None:
        self._addresses.changed()
        if self._state.is_leader:
            self._replication.track_followers()

    # --- state, to read ---------------------------------------------------------------------------------------------

    @property
    def current_term(self) -> int:
        """currentTerm of Figure 2."""
        return self._state.current_term

    @property
    def voted_for(self) -> str | None:
        """The node that got this node's vote in the current term (votedFor)."""
        return self._state.voted_for

    @property
    def role(self) -> Role:
        """The role of this node in the current term."""
        return self._state.role

    @property
    def leader(self) -> str | None:
        """The leader of the current term, None if unknown."""
        return self._state.leader

    @property
    def commit_index(self) -> int:
        """commitIndex of Figure 2."""
        return self._state.commit_index

    @property
    def snapshot(self) -> SnapshotMetadata | None:
        """The newest snapshot of this node; it covers at least all entries that the log has compacted."""
        return self._state.snapshot

    @property
    def progress(self) -> dict[str, Progress]:
        """The leader's progress of each follower; empty in other roles."""
        return self._replication.progress

    @property
    def transfer_target(self) -> str | None:
        """The node to which this leader is transferring leadership; it accepts no proposals meanwhile."""
        return self._transfer.target

    @property
    def configuration(self) -> Configuration:
        """The effective configuration: the newest one in the log, committed or not (§6)."""
        return self._configuration.current

    @property
    def configuration_index(self) -> int:
        """Log index of the effective configuration; 0 for the one that the node was started with."""
        return self._configuration.index

    @property
    def voters(self) -> tuple[str, ...]:
        """Identities of the voters, of C_new while the configuration is joint."""
        return self._configuration.voters

    @property
    def quorum(self) -> int:
        """How many voters are a majority."""
        return self._configuration.quorum

    @property
    def is_voter(self) -> bool:
        """Whether this node, in its incarnation, has a vote."""
        return self._configuration.is_voter

    @property
    def peers(self) -> tuple[str, ...]:
        """Identities of the other members."""
        return self._configuration.peers

    @property
    def is_uninitialized(self) -> bool:
        """Whether this node has no log, and has voted for no node and acknowledged nothing: it may bootstrap."""
        return self._bootstrap.is_uninitialized

    @property
    def addresses(self) -> dict[str, str]:
        """Identity to HOST:PORT of the nodes that this node may have to reach."""
        return self._addresses.current()

    def configuration_at(self, index: int) -> Configuration:
        """Return the newest configuration up to `index`, which must not be below that of the last snapshot."""
        return self._configuration.at(index)

    def next_timeout(self) -> float:
        """Return the time of the next `tick`, in seconds."""
        return self._replication.next_heartbeat if self._state.is_leader else self._elections.deadline

    def is_sending_snapshot(self) -> bool:
        """Return whether a responsive follower is receiving the newest snapshot: a newer one would restart that."""
        return self._replication.is_sending_snapshot()

    # --- input --------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Advance the time to `now`: send heartbeats, campaign (§5.2), or look for the cluster."""
        self._state.now = now
        if now < self.next_timeout():
            return
        if self._state.is_leader:
            self._tick_leader()
            return
        self._follower_reads.leader_lost()
        if not self.configuration:
            self._look_for_cluster()
        elif not self._configuration.is_promotable:
            self._wait_for_leader()
        elif self.config.pre_vote:
            self._start_pre_vote()
        else:
            self._start_election()

    def receive(self, message: Message, now: float) -> None:
        """Process a message. Ignore it if it is for another node, or another incarnation of this one.

        Requests from outside the effective configuration count, since the sender's log may have a newer one (§6).
        Replies count only from members, in the incarnation that they are members in.
        """
        state, body = self._state, message.body
        state.now = now
        if message.recipient != state.node_id or message.sender == state.node_id:
            return
        if isinstance(body, Discovery):
            self._handle_discovery(message, body)
            return
        if message.recipient_incarnation != state.incarnation or not self._is_from_member(message):
            return
        match body:
            case PreVote():  # a PreVote changes no term
                self._elections.handle_pre_vote(message, body)
                return
            case RequestVote(leadership_transfer=False) if self._elections.in_lease():
                return
        if message.term > state.current_term:
            self._become_follower(message.term, None, f"{message.sender} has a newer term")
        if isinstance(body, PreVoteReply):  # the voter may be in an older term
            self._handle_pre_vote_reply(message.sender, body)
        elif message.term < state.current_term:
            self._reject_old_term(message)
        else:
            self._receive_in_term(message)

    def peer_unreachable(self, peer: str, now: float) -> None:
        """Note that connections to `peer` are refused, so that its process has probably ended.

        A follower of that node campaigns early, by pre-vote. Safety does not depend on timing (§5.6), and voters in
        contact with the leader reject candidates (dissertation §4.2.3, §9.6). Leases do depend on timing (§6.4.1): the
        election timer stays where the leader may hold one, and where `pre_vote` or `check_quorum` is off.
        """
        self._state.now = now
        if peer == self.leader and not self._state.is_leader:
            self._elections.leader_unreachable()

    def propose(self, data: bytes, kind: EntryKind = EntryKind.COMMANDS) -> Entry:
        """Append an entry to the leader's log; it is committed once `Ready.committed` has it.

        If another entry is committed at its index, the entry is lost. Raise `NotLeaderError`, also during a
        leadership transfer.
        """
        self._require_leader()
        if self.transfer_target is not None:
            raise NotLeaderError(None)
        return self._log.append_new(kind, data)

    def read_index(self, *, any_node: bool = False) -> int:
        """Request a linearizable read. Return its request id, which `Ready.reads` or `Ready.failed_reads` will name.

        Raise `NotLeaderError`; with `any_node` a follower forwards the read, and raises only if it knows no leader.
        """
        if not self._state.is_leader and (not any_node or self.leader is None):
            raise NotLeaderError(self.leader)
        request_id = next(self._state.request_ids)
        if self._state.is_leader:
            self._leader_reads.add(request_id)
        else:
            self._follower_reads.add(request_id)
        return request_id

    def transfer_leadership(self, target: str, now: float) -> None:
        """Transfer leadership to `target` (dissertation §3.10): bring it up to date, then send it TimeoutNow.

        The transfer is given up after the maximum election time-out. Raise `NotLeaderError`, and
        `TransferRefusedError` if the target is not another voter or is unresponsive.
        """
        self._require_leader()
        self._state.now = now
        self._transfer.start(target)

    def change_members(self, change: Change, now: float) -> None:
        """Begin a membership change (§6).

        The event `ConfigurationCommitted` or `ConfigurationChangeFailed` reports its end. Raise `NotLeaderError`;
        `ChangeRefusedError` if another change is in progress, the leader has not committed an entry of its own term,
        the change is invalid, or too few voters would respond; `ValueError` for an invalid identity.
        """
        self._require_leader()
        self._state.now = now
        self._changes.propose(change)

    def snapshot_taken(self, snapshot: SnapshotMetadata) -> None:
        """Note that a snapshot of the state machine is durable, and compact the log except for a tail (§7)."""
        self._log.compact(snapshot)

    def synced(self, entry: Entry) -> None:
        """Note that everything written up to `entry` is durable.

        Only then does a leader count itself for a majority (§5.3): its own disk can fail like any other.
        """
        if self._log.synced(entry) and self._state.is_leader:
            self._advance_commit_index()

    def take_ready(self) -> Ready:
        """Return what the caller has to do; it must finish all of it before it calls anything but `synced`."""
        if self._state.is_leader:
            self._send_to_followers()
        else:
            self._follower_reads.send_request()
        ready = self._state.ready
        self._state.ready = Ready()
        ready.addresses = self._addresses.take_changed()
        self._log.fill(ready)
        ready.reads += self._follower_reads.take_committed()
        return ready

    def _require_leader(self) -> None:
        if not self._state.is_leader:
            raise NotLeaderError(self.leader)

    # --- messages -----------------------------------------------------------------------------------------------------

    def _is_from_member(self, message: Message) -> bool:
        """Return False for a reply whose sender is not a member in its incarnation."""
        match message.body:
            case PreVoteReply() | RequestVoteReply() | AppendEntriesReply() | InstallSnapshotReply():
                return self._configuration.incarnations.get(message.sender) == message.sender_incarnation
        return True

    def _receive_in_term(self, message: Message) -> None:
        sender, body = message.sender, message.body
        match body:
            case RequestVote():
                self._elections.handle_request_vote(message, body)
            case RequestVoteReply():
                self._handle_request_vote_reply(sender, body)
            case AppendEntries():
                self._follow_leader(message, leased=body.leased)
                self._follower.handle_append_entries(message, body)
            case AppendEntriesReply():
                self._handle_append_entries_reply(sender, body)
            case InstallSnapshot():
                self._follow_leader(message, leased=body.leased)
                self._follower.handle_install_snapshot(message, body)
            case InstallSnapshotReply():
                self._handle_install_snapshot_reply(sender, body)
            case TimeoutNow():
                self._handle_timeout_now(sender)
            case ReadIndex():
                self._leader_reads.handle_read_index(message, body)
            case ReadIndexReply():
                self._follower_reads.handle_read_index_reply(sender, body)

    def _reject_old_term(self, message: Message) -> None:
        """Reject a request of an old term; the current term in the reply makes the sender step down (§5.1)."""
        match message.body:
            case RequestVote():
                self._state.reply(message, RequestVoteReply(vote_granted=False))
            case AppendEntries(prev_log_index=rejected_index):
                self._state.reply(message, AppendEntriesReply(success=False, rejected_index=rejected_index))
            case InstallSnapshot(metadata=metadata):
                self._state.reply(message, InstallSnapshotReply(metadata.index, 0))
            case ReadIndex(request_id=request_id):
                self._state.reply(message, ReadIndexReply(request_id, 0))

    # --- without a leader, or without a cluster -----------------------------------------------------------------------

    def _look_for_cluster(self) -> None:
        """Send discoveries once per heartbeat interval; bootstrap if all peers are uninitialized."""
        self._elections.expire_timer_in(self.config.heartbeat_interval)
        self._set_leader(None)
        self._bootstrap.look_for_cluster()
        self._maybe_bootstrap()

    def _maybe_bootstrap(self) -> None:
        if self._bootstrap.maybe_bootstrap():
            self._elections.expire_timer_in(0)

    def _handle_discovery(self, message: Message, discovery: Discovery) -> None:
        if message.recipient_incarnation not in (0, self.incarnation):
            return
        self._bootstrap.handle_discovery(message, discovery)
        if self._state.is_leader:
            member = Member(message.sender, discovery.address, message.sender_incarnation)
            self._changes.handle_discovery(member, discovery)
        elif not self.configuration:
            self._addresses.changed()
            self._maybe_bootstrap()

    def _wait_for_leader(self) -> None:
        """Restart the election timer: a node without a vote never campaigns."""
        self._become_follower(self.current_term, None, "it has no vote")
        self._elections.reset_timer()
        self._bootstrap.announce()

    # --- elections (§5.2; dissertation §9.6) --------------------------------------------------------------------------

    def _start_pre_vote(self) -> None:
        self._elections.become_pre_candidate()
        self._set_leader(None)
        self._elections.request_pre_votes()
        if self._elections.has_majority():
            self._start_election()

    def _handle_pre_vote_reply(self, voter: str, reply: PreVoteReply) -> None:
        if self._elections.handle_pre_vote_reply(voter, reply):
            self._start_election()

    def _handle_request_vote_reply(self, voter: str, reply: RequestVoteReply) -> None:
        if self._elections.handle_request_vote_reply(voter, reply):
            self._become_leader()

    def _handle_timeout_now(self, leader: str) -> None:
        """Campaign at once, without a pre-vote: the leader itself has ordered it (dissertation §3.10)."""
        if not self._state.is_leader and leader == self.leader and self.is_voter:
            self._start_election(leadership_transfer=True)

    def _start_election(self, *, leadership_transfer: bool = False) -> None:
        self._elections.become_candidate()
        self._set_leader(None)
        self._elections.request_votes(leadership_transfer=leadership_transfer)
        if self._elections.has_majority():
            self._become_leader()

    def _become_leader(self) -> None:
        state = self._state
        state.role = Role.LEADER
        self._replication.start()
        self._leader_reads.start()
        state.emit(BecameLeader(state.current_term, state.log.last_index, self._elections.granted_by()))
        self._set_leader(state.node_id)
        # An entry of its own term lets the leader commit the entries of earlier terms (§5.4.2, §8).
        self._log.append_new(EntryKind.NOOP, b"")

    def _become_follower(self, term: int, leader: str | None, reason: str) -> None:
        was = self.role
        self._elections.become_follower(term)
        if was is Role.LEADER:
            self._stop_leading()
            self._elections.reset_timer()
        if was is not Role.FOLLOWER:
            self._state.emit(BecameFollower(self.current_term, leader, reason))
        self._set_leader(leader)

    def _stop_leading(self) -> None:
        self._replication.stop()
        self._transfer.stop()
        self._changes.stop()
        self._leader_reads.stop()

    def _set_leader(self, leader: str | None) -> None:
        if leader != self.leader:
            self._state.leader = leader
            self._follower_reads.leader_changed()
            self._state.emit(LeaderChanged(self.current_term, leader))

    def _follow_leader(self, message: Message, *, leased: bool) -> None:
        """Follow the sender of an AppendEntries or InstallSnapshot, which leads the current term."""
        leader = message.sender
        if self._state.is_leader:
            raise InvariantError(
                f"Election Safety (§5.2): {leader} and {self.node_id} both lead term {self.current_term}"
            )
        self._become_follower(self.current_term, leader, f"{leader} leads")
        self._state.leader_incarnation = message.sender_incarnation
        self._elections.record_leader_contact(leased=leased)
        self._follower_reads.expire()

    # --- leadership (§5.3, §6; dissertation §3.10, §6.2, §6.4) --------------------------------------------------------

    def _tick_leader(self) -> None:
        self._replication.heartbeat()
        self._transfer.tick()
        if self.config.check_quorum and self._replication.has_lost_quorum():
            self._become_follower(self.current_term, None, "no quorum has replied for an election time-out")
        else:
            self._changes.tick()

    def _send_to_followers(self) -> None:
        """Send what followers lack, and heartbeats if they are due or a round of reads needs them."""
        heartbeat_due = self._replication.heartbeat_due
        if heartbeat_due and self.config.lease_reads:
            self._leader_reads.begin_lease_round()
        heartbeat_all = self._leader_reads.begin_round() or heartbeat_due
        if heartbeat_due:
            self._transfer.maybe_send_timeout_now()
        self._replication.send(heartbeat_all=heartbeat_all, read_round=self._leader_reads.round)

    def _handle_append_entries_reply(self, follower: str, reply: AppendEntriesReply) -> None:
        if self._state.is_leader:
            self._record_contact(follower, reply.read_round)
            if self._replication.handle_append_entries_reply(follower, reply):
                self._follower_matched(follower)

    def _handle_install_snapshot_reply(self, follower: str, reply: InstallSnapshotReply) -> None:
        if self._state.is_leader:
            self._record_contact(follower, reply.read_round)
            if self._replication.handle_install_snapshot_reply(follower, reply):
                self._follower_matched(follower)

    def _record_contact(self, follower: str, read_round: int) -> None:
        self._replication.record_contact(follower, read_round)
        self._leader_reads.confirm()

    def _follower_matched(self, follower: str) -> None:
        if follower == self.transfer_target:
            self._transfer.maybe_send_timeout_now()
        self._advance_commit_index()

    def _advance_commit_index(self) -> None:
        before = self.commit_index
        if not self._replication.advance_commit_index() or self.configuration_index > self.commit_index:
            return
        if before < self.configuration_index and not self.configuration.is_joint:
            self._state.emit(ConfigurationCommitted(self.current_term, self.configuration_index))
        self._configuration_committed()

    def _configuration_committed(self) -> None:
        """Leave a joint configuration; step down as a leader that is not in the new one (§6)."""
        if self.configuration.is_joint:
            self._changes.leave_joint()
        elif not self.is_voter:
            self._transfer.send_timeout_now(self._replication.most_up_to_date(self.voters))
            self._become_follower(self.current_term, None, "this node was removed from the voters")
