"""The safety checker: the properties of Figure 3, what they rest on, and what clients rely on.

It sees all nodes at once, which no node can. The checks are incremental: a step costs what it changed. Each check
raises `Violation` with the name of the property. Simulator and tests share the checker. It knows nothing of networks,
clocks or faults.
"""

from collections.abc import Callable, Sequence

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    RequestVote,
    RequestVoteReply,
)
from raft_pkg.core.types import Entry, EntryKind, SnapshotMetadata
from raft_pkg.storage.interface import Recovered
from raft_testbed.simulation.safety.clients import ClientChecker
from raft_testbed.simulation.safety.commits import CommitChecker
from raft_testbed.simulation.safety.disks import Disk, DiskChecker
from raft_testbed.simulation.safety.elections import ElectionChecker
from raft_testbed.simulation.safety.logs import LogChecker
from raft_testbed.simulation.safety.members import MembershipChecker
from raft_testbed.simulation.safety.observation import Identity, Observation, first_change
from raft_testbed.simulation.safety.snapshots import SnapshotChecker
from raft_testbed.simulation.safety.state_machines import StateMachineChecker


class SafetyChecker:
    """All checks of one cluster.

    `effects_of` is called once with each committed entry, in order; it returns the commands of the entry that take
    effect. `initial` is the configuration of a cluster whose log begins without one.
    """

    def __init__(self, effects_of: Callable[[Entry], Sequence[bytes]], initial: Configuration | None = None) -> None:
        self.disks = DiskChecker()
        self.members = MembershipChecker(self.disks)
        self.commits = CommitChecker(self.disks, self.members, initial or Configuration())
        self.elections = ElectionChecker(self.commits)
        self.logs = LogChecker(self.disks, self.members, self.commits)
        self.snapshots = SnapshotChecker(self.commits)
        self.state_machines = StateMachineChecker(self.commits)
        self.clients = ClientChecker(self.commits)
        self._effects_of = effects_of
        self._nodes: dict[str, Observation] = {}

    def disk(self, node: str, incarnation: int) -> Disk:
        """Return the model of a disk, which the storage's calls must be reported to."""
        return self.disks.disk(node, incarnation)

    def possible_configurations(self) -> list[Configuration]:
        """Return the newest committed configuration, and all later ones that any disk holds."""
        newest = self.commits.configuration_index
        found = [self.commits.configuration]
        for disk in self.disks.current:
            values = [*disk.entries[max(0, newest - disk.base_index) :], *disk.unsynced]
            entries = [value for value in values if isinstance(value, Entry) and value.index > newest]
            found += [self.members.decode(entry) for entry in entries if entry.kind is EntryKind.CONFIGURATION]
        return found

    # --- nodes --------------------------------------------------------------------------------------------------------

    def node_started(self, node: str, found: Recovered) -> None:
        """Check what a node recovered from its disk."""
        self.disks.node_started(node, found)
        self._nodes.pop(node, None)

    def disk_lost(self, node: str) -> None:
        """Record that a machine has an empty disk; its next node is a new incarnation."""
        self.disks.disk_lost(node)
        self._nodes.pop(node, None)

    def step_ended(self, now: Observation) -> None:
        """Check a node after a step, or at its crash within one."""
        before = self._nodes.get(now.node)
        self._nodes[now.node] = now
        if before is None:
            self.logs.check_matching(now, now.first_index)
        else:
            self.elections.check_term_and_vote(before, now)
            changed_from = first_change(before, now)
            if changed_from is not None:
                self.logs.check_append_only(before, now, changed_from)
                self.logs.check_matching(now, changed_from)
        if now.is_leader:
            if not (before and before.is_leader and before.term == now.term):
                self.elections.check_leader(now)
            if before is None or before.configuration_index != now.configuration_index:
                self.members.check_changes(before, now)
            self.logs.check_match_index(now)
        if before is None or now.commit_index != before.commit_index:
            self._check_commit(before, now)
        if before is None or now.first_index != before.first_index:
            self.logs.check_base(now)
        if before is None or (now.applied_index, now.applied_digest) != (before.applied_index, before.applied_digest):
            self.state_machines.check_applied(now)

    def _check_commit(self, before: Observation | None, now: Observation) -> None:
        new, term = self.commits.check(before, now)
        for entry in new:
            commands = self._effects_of(entry)
            self.clients.check_committed(entry.index, commands)
            self.elections.check_later_leaders(self.commits.add(entry, term, commands))

    # --- messages -----------------------------------------------------------------------------------------------------

    def message_sent(self, message: Message) -> None:
        """Check a message: what it states must be durable (Figure 2) and consistent with earlier messages."""
        sender = message.sender, message.sender_incarnation
        match message.body:
            case AppendEntries():
                self.disks.check_term(sender, message.term)
            case AppendEntriesReply(success=True, match_index=index):
                self.disks.check_match(sender, message.term, index)
                leader, _ = self.elections.leader_of(message.term) or ("", 0)
                self.logs.check_acknowledged(sender, message.term, index, self._nodes.get(leader))
            case RequestVote():
                self._check_vote(sender, message.term, sender)
            case RequestVoteReply(vote_granted=True):
                self._check_vote(sender, message.term, (message.recipient, message.recipient_incarnation))
            case InstallSnapshot() as body:
                self.disks.check_term(sender, message.term)
                self.snapshots.check_chunk(message.sender, body)
            case InstallSnapshotReply(index=index, next_offset=next_offset):
                self.disks.check_chunks(sender, message.term, index, next_offset)
            case RequestVoteReply() | AppendEntriesReply():
                self.disks.check_term(sender, message.term)

    def _check_vote(self, voter: Identity, term: int, candidate: Identity) -> None:
        self.elections.check_vote(voter, term, candidate)
        self.disks.check_vote(voter, term, candidate)

    # --- snapshots and state machines ---------------------------------------------------------------------------------

    def compacted(self, node: str, incarnation: int, index: int) -> None:
        """Check that a storage may remove entries up to an index."""
        self.disks.compacted(node, incarnation, index)

    def snapshot_kept(self, node: str, snapshot: SnapshotMetadata, data: bytes) -> None:
        """Check a snapshot that a node has taken or installed."""
        self.snapshots.check(node, snapshot, data)

    def applied(self, node: str, count: int, command: bytes, results_digest: int) -> None:
        """Check the `count`-th command of a state machine, and the digest of all its results so far."""
        self.clients.check_applied(node, count, command)
        self.state_machines.check_results(node, count, results_digest)

    def state_restored(self, node: str, count: int, results_digest: int) -> None:
        """Check a state machine that a snapshot restored: its number of commands, and the digest of their results."""
        self.state_machines.check_results(node, count, results_digest)
