"""What must hold at every step, named after the paper (Figure 3), and what clients were promised.

The checks see all nodes at once, which no node can. They are incremental: a step costs what it changed. Each raises
`Violation` with the name of the invariant. Nothing here knows of networks, clocks or faults.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from zlib import crc32

from raft_pkg.core.configuration import Configuration, Electorate, quorums_overlap
from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    RequestVote,
    RequestVoteReply,
)
from raft_pkg.core.raft import Raft
from raft_pkg.core.types import Entry, EntryKind, HardState, Role, SnapshotMetadata
from raft_pkg.simulation.sessions import SessionModel
from raft_pkg.storage import Recovered

ELECTION_SAFETY = "Election Safety"
LEADER_APPEND_ONLY = "Leader Append-Only"
LOG_MATCHING = "Log Matching"
LEADER_COMPLETENESS = "Leader Completeness"
STATE_MACHINE_SAFETY = "State Machine Safety"
ONE_VOTE = "One Vote a Term"
TERM_AND_VOTE = "Term and Vote Never Go Back"
COMMIT_INDEX = "Commit Index Never Goes Back"
COMMIT_RULE = "Commit Rule"
STABLE_BEFORE_PROMISED = "Stable Before Promised"
RECOVERY = "Recovery Forgets Nothing"
ACKNOWLEDGED_WRITES = "No Acknowledged Write Lost"
AT_MOST_ONCE = "At-Most-Once Application"
READS = "Reads See What Was Acknowledged"
LINEARIZABILITY = "Linearizability"
PROGRESS = "Progress"
STABILITY = "A Healthy Leader Keeps Its Office"
OWN_TERM_ENTRY = "A Leader Begins With an Entry of Its Term"
MATCH_INDEX = "Match Index Is True"
QUORUMS_OVERLAP = "Quorums of Adjacent Configurations Overlap"
ONE_CHANGE = "One Change at a Time"
ONLY_VOTERS_STAND = "Only Voters Stand for Election"
REMOVED_LEADER = "A Removed Leader Steps Down"
CAUGHT_UP = "Who Is Promoted Has Caught Up"
SNAPSHOT = "A Snapshot Stands for What Was Committed"
COMPACTION = "A Snapshot Stands for All That Was Compacted"
SOUND_NODE = "A Node Fails Only for Its Disk"


CAUGHT_UP_ENTRIES_MAX = 70
"""More than appends in flight ever are, and what comes in one turn."""


class Violation(Exception):  # noqa: N818 - what is wrong is not this program
    """An invariant does not hold."""

    def __init__(self, invariant: str, what: str, *nodes: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant
        self.what = what
        self.nodes = nodes


@dataclass(slots=True)
class Observation:
    """What a node is at the end of a step."""

    node: str
    term: int
    voted_for: str | None
    is_leader: bool
    commit_index: int
    applied_index: int
    applied_digest: int
    """Of the commands that its state machine was given in this life."""
    role: Role
    incarnation: int
    first_index: int
    previous_term: int
    """Of the entry before `first_index`; 0 where there is none."""
    entries: list[Entry]
    configuration: Configuration
    configuration_index: int
    snapshot: SnapshotMetadata | None
    match_index: dict[str, int]
    """Of a leader: what it believes of its followers."""

    @classmethod
    def of(cls, raft: Raft, applied_index: int, applied_digest: int) -> "Observation":
        """Look at a node's core."""
        log = raft.log
        return cls(
            raft.node_id,
            raft.current_term,
            raft.voted_for,
            raft.role is Role.LEADER,
            raft.commit_index,
            applied_index,
            applied_digest,
            raft.role,
            raft.incarnation,
            log.first_index,
            log.term_at(log.first_index - 1) or 0,
            log.slice(log.first_index, log.last_index + 1),
            raft.configuration,
            raft.configuration_index,
            raft.snapshot,
            {peer: progress.match_index for peer, progress in raft.progress.items()},
        )

    @property
    def is_voter(self) -> bool:
        """Whether this very incarnation votes, by the node's own configuration."""
        return self.configuration.votes(self.node, self.incarnation)

    @property
    def last_index(self) -> int:
        """Index of the newest entry."""
        return self.first_index + len(self.entries) - 1

    def term_at(self, index: int) -> int | None:
        """Term of the entry at an index, also of the one before the first."""
        if index == self.first_index - 1:
            return self.previous_term
        entry = self.entry_at(index)
        return entry.term if entry else None

    def entry_at(self, index: int) -> Entry | None:
        """The entry at an index, if the node holds it."""
        position = index - self.first_index
        return self.entries[position] if 0 <= position < len(self.entries) else None


@dataclass(slots=True)
class Disk:
    """What a node's storage was asked to keep: what it said is durable, and what it may or may not have kept.

    `entries` follow the entry of `base`, an index and a term; a storage may have dropped more of them, up to
    `compacted`. `snapshot` is the index and term that the newest snapshot stands for.
    """

    incarnation: int = 0
    hard_state: HardState = field(default_factory=HardState)
    base: tuple[int, int] = (0, 0)
    entries: list[Entry] = field(default_factory=list)
    unsynced: list[HardState | Entry] = field(default_factory=list)
    compacted: int = 0
    snapshot: tuple[int, int] = (0, 0)
    _about_to_count: tuple[int, int] | None = None

    @property
    def last_index(self) -> int:
        """Index of the newest entry, or of the base."""
        return self.base[0] + len(self.entries)

    def append(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """The storage was asked to write."""
        if hard_state is not None:
            self.unsynced.append(hard_state)
        self.unsynced += entries

    def sync(self) -> None:
        """The storage says that all of it is on disk."""
        for value in self.unsynced:
            self._keep(value)
        self.unsynced.clear()

    def compact(self, index: int) -> None:
        """The storage may drop what comes up to an index."""
        self.compacted = max(self.compacted, index)

    def snapshot_begins_to_count(self, index: int, term: int) -> None:
        """The storage was asked to make a snapshot count; it has not said yet that it does."""
        self._about_to_count = index, term

    def snapshot_counts(self) -> None:
        """It does: the log is synced, and gone where it does not have what the snapshot stands for."""
        assert self._about_to_count is not None
        self.sync()
        self.snapshot, self._about_to_count = self._about_to_count, None
        index, term = self.snapshot
        if self.term_at(index) != term:
            self.base, self.entries = self.snapshot, []
            self.compacted = index

    def recovered(self, found: Recovered) -> bool:
        """Take over what recovery found; False when a crash can't have left that."""
        if self.incarnation not in (0, found.incarnation):
            return False
        self.incarnation = found.incarnation
        unsynced, self.unsynced = self.unsynced, []
        possible = self._is(found)
        for value in unsynced:
            if possible:
                break
            self._keep(value)
            possible = self._is(found)
        if not possible and self._about_to_count is not None:
            self.snapshot_counts()
            possible = self._is(found)
        self._about_to_count = None
        return possible

    def term_at(self, index: int) -> int | None:
        """Term of the entry at an index, also of the base."""
        position = index - self.base[0] - 1
        if position == -1:
            return self.base[1]
        return self.entries[position].term if 0 <= position < len(self.entries) else None

    def entry_at(self, index: int) -> Entry | None:
        """The entry at an index, if it is there."""
        position = index - self.base[0] - 1
        return self.entries[position] if 0 <= position < len(self.entries) else None

    def holds(self, index: int, term: int) -> bool:
        """Whether the entry is there, or a snapshot stands for it."""
        return index <= self.snapshot[0] or self.term_at(index) == term

    def _is(self, found: Recovered) -> bool:
        snapshot = (found.snapshot.index, found.snapshot.term) if found.snapshot else (0, 0)
        dropped = found.base_index - self.base[0]
        return (
            found.hard_state == self.hard_state
            and snapshot == self.snapshot
            and (found.base_index == self.base[0] or self.base[0] < found.base_index <= self.compacted)
            and self.term_at(found.base_index) == found.base_term
            and found.entries == self.entries[dropped:]
        )

    def _keep(self, value: HardState | Entry) -> None:
        if isinstance(value, HardState):
            self.hard_state = value
        else:
            del self.entries[value.index - self.base[0] - 1 :]
            self.entries.append(value)


@dataclass(slots=True)
class _Committed:
    """An entry that a leader has committed, and all that follows from it."""

    entry: Entry
    term: int
    """In which it was committed."""
    digest: int
    """Of all commands that take effect, up to and including its own."""
    commands: Sequence[bytes]
    configuration: Configuration
    """The newest committed one, up to and including it."""


class Invariants:
    """All that the paper promises of one cluster, checked step by step."""

    def __init__(self) -> None:
        self._sessions = SessionModel()
        self._snapshots: dict[int, SnapshotMetadata] = {}
        self._electorates: dict[int, tuple[Configuration, Electorate]] = {}
        self._disks: dict[str, Disk] = {}
        self._lost_disks: dict[tuple[str, int], Disk] = {}
        """By node and incarnation: what they acknowledged may still be on its way."""
        self._nodes: dict[str, Observation] = {}
        self._leaders: dict[int, str] = {}
        self._logs_of_leaders: dict[int, Observation] = {}
        self._entries: dict[tuple[int, int], tuple[Entry, int]] = {}
        self._committed: list[_Committed] = []
        self._effected: dict[bytes, int] = {}
        self._digests: dict[int, int] = {}
        self._answers: dict[int, int] = {}
        self._votes: dict[tuple[str, int, int], str] = {}
        self._sent_once: set[bytes] = set()
        self.acknowledged_index = 0
        """The highest index that some client has heard of in an outcome."""

    @property
    def committed_index(self) -> int:
        """The highest index that was ever committed."""
        return len(self._committed)

    @property
    def configuration(self) -> Configuration:
        """The newest that was committed."""
        return self._committed[-1].configuration if self._committed else Configuration()

    @property
    def leaders(self) -> int:
        """How many terms had a leader."""
        return len(self._leaders)

    def disk(self, node: str) -> Disk:
        """The record of what a node's storage was asked to keep."""
        disk = self._disks.get(node)
        if disk is None:
            disk = self._disks[node] = Disk()
        return disk

    # --- a node's life --------------------------------------------------------------------------------------------

    def disk_lost(self, node: str) -> None:
        """The node's disk is gone, and another one in its place."""
        disk = self._disks.pop(node, None)
        if disk is not None:
            self._lost_disks[node, disk.incarnation] = disk
        self._nodes.pop(node, None)

    def node_started(self, node: str, recovered: Recovered) -> None:
        """A node has recovered this from its disk."""
        disk = self.disk(node)
        expected = f"{_state(disk.hard_state, disk.entries)} and {len(disk.unsynced)} records that were not synced"
        if not disk.recovered(recovered):
            found = _state(recovered.hard_state, recovered.entries)
            raise Violation(
                RECOVERY,
                f"{node} recovered {found}, base {recovered.base_index}, snapshot {recovered.snapshot}; its disk held "
                f"{expected}, base {disk.base}, snapshot {disk.snapshot}, compacted up to {disk.compacted}",
                node,
            )
        self._nodes.pop(node, None)

    def step_ended(self, now: Observation) -> None:
        """A node has taken a turn, or has died in one."""
        before = self._nodes.get(now.node)
        self._nodes[now.node] = now
        if before is None:
            self._check_log(now, now.first_index)
        else:
            self._check_term_and_vote(before, now)
            changed_from = _first_change(before, now)
            if changed_from is not None:
                self._check_leader_append_only(before, now, changed_from)
                self._check_log(now, changed_from)
        if now.is_leader:
            if not (before and before.is_leader and before.term == now.term):
                self._check_election(now)
            self._check_match_index(now)
        if before is None or now.commit_index != before.commit_index:
            self._check_commit(before, now)
        self._check_members(before, now)
        if now.snapshot is not None and (before is None or before.snapshot is not now.snapshot):
            self._check_snapshot(now, now.snapshot)
        if now.first_index > 1 and (now.snapshot is None or now.snapshot.index < now.first_index - 1):
            raise Violation(
                COMPACTION, f"{now.node}'s log begins at {now.first_index}; its snapshot: {now.snapshot}", now.node
            )
        if before is None or now.applied_index != before.applied_index or now.applied_digest != before.applied_digest:
            self._check_applied(now)

    # --- Figure 3 -------------------------------------------------------------------------------------------------

    def _check_election(self, now: Observation) -> None:
        """Election Safety: at most one leader can be elected in a given term (§5.2)."""
        leader = self._leaders.setdefault(now.term, now.node)
        if leader != now.node:
            raise Violation(ELECTION_SAFETY, f"{leader} and {now.node} both lead term {now.term}", leader, now.node)
        if not self._majority_votes(now):
            raise Violation(
                ELECTION_SAFETY, f"{now.node} leads term {now.term} without the votes of a majority", now.node
            )
        self._logs_of_leaders[now.term] = now
        if now.term_at(now.last_index) != now.term:
            raise Violation(
                OWN_TERM_ENTRY, f"{now.node} leads term {now.term} with no entry of that term to commit (§8)", now.node
            )
        for committed in self._committed:
            if committed.term < now.term:
                self._check_complete(now, committed)

    def _majority_votes(self, now: Observation) -> bool:
        """Whether a majority by the node's configuration has voted for it, each in the incarnation that it names."""
        voters = {(m.node_id, m.incarnation) for m in now.configuration.voters + now.configuration.outgoing}
        given = {node for node, inc in voters if self._votes.get((node, inc, now.term)) == now.node}
        if now.is_voter:
            given.add(now.node)
        return self._electorate(now.configuration).agreed(given.__contains__)

    def _electorate(self, configuration: Configuration) -> Electorate:
        known = self._electorates.get(id(configuration))
        if known is None or known[0] is not configuration:
            known = self._electorates[id(configuration)] = configuration, Electorate(configuration)
        return known[1]

    def _check_match_index(self, leader: Observation) -> None:
        """What a leader believes that its followers hold is on their disks (Figure 2, matchIndex)."""
        for follower, index in leader.match_index.items():
            disk = self.disk(follower)
            if not index or disk.hard_state.current_term != leader.term:
                continue  # a follower in a newer term may have replaced it since
            member = leader.configuration.member(follower)
            if member is None or member.incarnation != disk.incarnation:
                continue  # it has lost its disk since, and the leader does not know yet
            own = leader.term_at(index)
            is_held = disk.holds(index, own) if own is not None else disk.last_index >= index
            if index > leader.last_index or not is_held:
                raise Violation(
                    MATCH_INDEX,
                    f"{leader.node} leads term {leader.term} and believes that {follower} holds its entry {index}",
                    leader.node,
                    follower,
                )

    # --- members and snapshots (§6, §7) ------------------------------------------------------------------------------

    def _check_members(self, before: Observation | None, now: Observation) -> None:
        configuration = now.configuration
        if before is not None and before.configuration is not configuration:
            if now.is_leader and before.is_leader and before.term == now.term:
                self._check_change(before, now)
            if before.configuration and configuration and now.configuration_index > before.configuration_index:
                self._check_overlap(now)
        stands = now.role in (Role.CANDIDATE, Role.PRE_CANDIDATE)
        is_out = not now.is_voter and now.configuration_index <= now.commit_index
        if stands and is_out and not (before and before.role is now.role):
            raise Violation(ONLY_VOTERS_STAND, f"{now.node} stands for election, and is no voter", now.node)
        if now.is_leader and not now.is_voter and now.configuration_index <= now.commit_index:
            raise Violation(
                REMOVED_LEADER, f"{now.node} leads, though it is committed that it is no voter any more", now.node
            )

    def _check_change(self, before: Observation, now: Observation) -> None:
        """A leader changes the members one at a time, and not before it has committed in its own term."""
        added = [entry for entry in now.entries if entry.kind is EntryKind.CONFIGURATION]
        added = [entry for entry in added if entry.index > before.configuration_index]
        previous = before.configuration_index
        for entry in added:
            if previous > now.commit_index:
                raise Violation(
                    ONE_CHANGE,
                    f"{now.node} appends configuration {entry.index}; {previous} is not committed ({now.commit_index})",
                    now.node,
                )
            if now.term_at(now.commit_index) != now.term:
                raise Violation(
                    ONE_CHANGE,
                    f"{now.node} appends configuration {entry.index} and has committed nothing in term {now.term}",
                    now.node,
                )
            previous = entry.index
        old, new = before.configuration, now.configuration
        promoted = {m.node_id for m in old.learners} & {m.node_id for m in new.voters}
        for node_id in promoted:
            missing = now.last_index - now.match_index.get(node_id, 0)
            if missing > CAUGHT_UP_ENTRIES_MAX:
                raise Violation(CAUGHT_UP, f"{now.node} promotes {node_id}, which lacks {missing} entries", now.node)

    def _check_overlap(self, now: Observation) -> None:
        """Any majority by one configuration of a log and any by the next have a voter in common (§6)."""
        snapshot = now.snapshot
        previous = snapshot.configuration if snapshot else Configuration()
        start = snapshot.index if snapshot else 0
        for entry in now.entries[max(0, start + 1 - now.first_index) :]:
            if entry.kind is EntryKind.CONFIGURATION:
                configuration = Configuration.decode(entry.data)
                if previous and not quorums_overlap(previous, configuration):
                    raise Violation(
                        QUORUMS_OVERLAP, f"{now.node}: {previous}, then {configuration} at {entry.index}", now.node
                    )
                previous = configuration

    def _check_snapshot(self, now: Observation, snapshot: SnapshotMetadata) -> None:
        """A snapshot's index, term and configuration are those of what was committed, its bytes the same everywhere."""
        committed = self._committed[snapshot.index - 1] if snapshot.index <= len(self._committed) else None
        if committed is None or committed.entry.term != snapshot.term:
            raise Violation(SNAPSHOT, f"{now.node} has a snapshot of {snapshot.index}/t{snapshot.term}", now.node)
        if committed.configuration != snapshot.configuration:
            raise Violation(
                SNAPSHOT,
                f"{now.node}'s snapshot of {snapshot.index}: {snapshot.configuration}, not {committed.configuration}",
                now.node,
            )
        if self._snapshots.setdefault(snapshot.index, snapshot) != snapshot:
            raise Violation(
                SNAPSHOT, f"{now.node}'s snapshot of {snapshot.index} is not that of others, byte for byte", now.node
            )

    def _check_complete(self, leader: Observation, committed: _Committed) -> None:
        """Leader Completeness: an entry committed in a term is in the logs of the leaders of all later terms (§5.4)."""
        entry = committed.entry
        if entry.index < leader.first_index:
            return
        held = leader.entry_at(entry.index)
        if held is None or held.term != entry.term:
            found = "no entry" if held is None else f"one of term {held.term}"
            raise Violation(
                LEADER_COMPLETENESS,
                f"{leader.node} leads term {leader.term} with {found} at index {entry.index}; "
                f"the entry of term {entry.term} was committed there in term {committed.term}",
                leader.node,
                self._leaders.get(committed.term, leader.node),
            )

    def _check_leader_append_only(self, before: Observation, now: Observation, changed_from: int) -> None:
        """Leader Append-Only: a leader never overwrites or deletes entries in its log (§5.3)."""
        if before.is_leader and now.is_leader and before.term == now.term and changed_from <= before.last_index:
            raise Violation(
                LEADER_APPEND_ONLY, f"{now.node} leads term {now.term} and changed its entry {changed_from}", now.node
            )

    def _check_log(self, now: Observation, changed_from: int) -> None:
        """Log Matching: entries of the same index and term are equal, and so are all that precede them (§5.3).

        By induction it is enough that such entries are equal and their predecessors have equal terms.
        """
        predecessor = now.entry_at(changed_from - 1)
        previous_term = predecessor.term if predecessor else now.previous_term
        for entry in now.entries[changed_from - now.first_index :]:
            known, known_previous_term = self._entries.setdefault((entry.index, entry.term), (entry, previous_term))
            if known is not entry and known != entry:
                raise Violation(LOG_MATCHING, f"{now.node} holds {_brief(entry)}, others {_brief(known)}", now.node)
            if known_previous_term != previous_term:
                raise Violation(
                    LOG_MATCHING,
                    f"{now.node} holds an entry of term {previous_term} before {_brief(entry)}, "
                    f"others one of term {known_previous_term}",
                    now.node,
                )
            if previous_term > entry.term:
                raise Violation(LOG_MATCHING, f"{now.node}: terms go back before {_brief(entry)}", now.node)
            previous_term = entry.term

    def _check_commit(self, before: Observation | None, now: Observation) -> None:
        """The commit index: it never goes back, and moves only by the rules of §5.3 and §5.4.2."""
        commit_before = before.commit_index if before else 0
        if now.commit_index < commit_before:
            raise Violation(
                COMMIT_INDEX, f"{now.node}'s commit index goes from {commit_before} to {now.commit_index}", now.node
            )
        if now.commit_index > now.last_index:
            raise Violation(
                COMMIT_RULE, f"{now.node} commits {now.commit_index}; its log ends at {now.last_index}", now.node
            )
        for index in range(max(commit_before + 1, now.first_index), min(now.commit_index, len(self._committed)) + 1):
            self._check_same_committed(now, index)
        if now.commit_index > len(self._committed):
            # In one step, a leader can commit and then hear of its successor.
            leader = before if before and before.is_leader and not now.is_leader else now
            self._check_commit_rule(now, leader)
            for index in range(len(self._committed) + 1, now.commit_index + 1):
                self._commit(self._entry_of(now, index), leader.term)

    def _check_same_committed(self, now: Observation, index: int) -> None:
        held, committed = now.entry_at(index), self._committed[index - 1].entry
        if held is not committed and held != committed:
            found = "nothing" if held is None else _brief(held)
            raise Violation(
                STATE_MACHINE_SAFETY, f"{now.node} commits {found}; {_brief(committed)} was committed before", now.node
            )

    def _check_commit_rule(self, now: Observation, leader: Observation) -> None:
        """Only a leader commits first, only by an entry of its own term, and only when a majority holds it on disk."""
        entry = self._entry_of(now, now.commit_index)
        if not leader.is_leader:
            raise Violation(
                COMMIT_RULE, f"{now.node} is no leader and commits {_brief(entry)}, which no leader has", now.node
            )
        if entry.term != leader.term:
            raise Violation(
                COMMIT_RULE, f"{now.node} leads term {leader.term} and commits {_brief(entry)} (§5.4.2)", now.node
            )
        if not any(self._majority_holds(seen.configuration, entry) for seen in (leader, now)):
            holders = [node for node, disk in self._disks.items() if disk.holds(entry.index, entry.term)]
            raise Violation(
                COMMIT_RULE,
                f"{now.node} commits {_brief(entry)}, which only {', '.join(holders) or 'nobody'} has on disk",
                now.node,
            )

    def _entry_of(self, now: Observation, index: int) -> Entry:
        """An entry that a node has, or had before it was compacted away in the very turn in which it was committed."""
        entry = now.entry_at(index) or self.disk(now.node).entry_at(index)
        if entry is None:
            raise Violation(COMMIT_RULE, f"{now.node} commits entry {index}, which it never had", now.node)
        return entry

    def _majority_holds(self, configuration: Configuration, entry: Entry) -> bool:
        """Whether a majority has it on disk, each in the incarnation that the configuration names."""
        members = {m.node_id: m.incarnation for m in configuration.members}

        def holds(node: str) -> bool:
            disk = self.disk(node)
            if members[node] != disk.incarnation:
                disk = self._lost_disks.get((node, members[node]), Disk())
            return disk.holds(entry.index, entry.term)

        return self._electorate(configuration).agreed(holds)

    def _commit(self, entry: Entry, term: int) -> None:
        last = self._committed[-1] if self._committed else None
        digest = last.digest if last else 0
        configuration = last.configuration if last else Configuration()
        if entry.kind is EntryKind.CONFIGURATION:
            configuration = Configuration.decode(entry.data)
        commands = self._sessions.effects_of(entry)
        for command in commands:
            digest = crc32(command, digest)
            index = self._effected.setdefault(command, entry.index)
            if index != entry.index and command in self._sent_once:
                raise Violation(
                    AT_MOST_ONCE, f"a command that was to be applied once is committed at {index} and {entry.index}"
                )
        committed = _Committed(entry, term, digest, commands, configuration)
        self._committed.append(committed)
        for later_term, later in self._logs_of_leaders.items():
            if later_term > term:
                self._check_complete(later, committed)

    def _check_applied(self, now: Observation) -> None:
        """State Machine Safety: what is applied at an index is the same on all servers (§5.4.3)."""
        if now.applied_index > now.commit_index or now.applied_index > len(self._committed):
            raise Violation(
                STATE_MACHINE_SAFETY,
                f"{now.node} has applied {now.applied_index}, and only {now.commit_index} is committed",
                now.node,
            )
        expected = self._committed[now.applied_index - 1].digest if now.applied_index else 0
        if now.applied_digest != expected:
            raise Violation(
                STATE_MACHINE_SAFETY,
                f"{now.node} has not applied just what is committed up to {now.applied_index}",
                now.node,
            )

    def answered(self, node: str, count: int, digest: int) -> None:
        """A state machine that was given so many commands has answered them so: every other must answer the same."""
        if self._answers.setdefault(count, digest) != digest:
            raise Violation(STATE_MACHINE_SAFETY, f"{node} answers command {count} of its log as no other did", node)

    # --- term and vote --------------------------------------------------------------------------------------------

    def _check_term_and_vote(self, before: Observation, now: Observation) -> None:
        if now.term < before.term:
            raise Violation(TERM_AND_VOTE, f"{now.node}'s term goes from {before.term} to {now.term}", now.node)
        if now.term == before.term and before.voted_for not in (None, now.voted_for):
            raise Violation(
                TERM_AND_VOTE,
                f"{now.node}'s vote in term {now.term} goes from {before.voted_for} to {now.voted_for}",
                now.node,
            )

    def message_sent(self, message: Message) -> None:
        """A message leaves. What it promises must be on disk before (Figure 2), and never contradict another."""
        match message.body:
            case RequestVote():
                self._check_vote(message, message.sender)
            case RequestVoteReply(vote_granted=True):
                self._check_vote(message, message.recipient)
            case AppendEntriesReply(success=True, match_index=index):
                self._check_match_is_stable(message.sender, message.term, index)
            case (
                RequestVoteReply() | AppendEntries() | AppendEntriesReply() | InstallSnapshot() | InstallSnapshotReply()
            ):
                self._check_term_is_stable(message.sender, message.term)

    def _check_term_is_stable(self, node: str, term: int) -> None:
        synced_term = self.disk(node).hard_state.current_term
        if term > synced_term:
            raise Violation(
                STABLE_BEFORE_PROMISED, f"{node} speaks in term {term}; its disk has term {synced_term}", node
            )

    def _check_match_is_stable(self, node: str, term: int, index: int) -> None:
        self._check_term_is_stable(node, term)
        disk = self.disk(node)
        if disk.hard_state.current_term == term and index > max(disk.last_index, disk.snapshot[0]):
            raise Violation(
                STABLE_BEFORE_PROMISED,
                f"{node} says in term {term} that it holds entry {index}; its disk ends at {disk.last_index}",
                node,
            )
        leader = self._nodes.get(self._leaders.get(term, ""))
        if not (index and leader and leader.is_leader and leader.term == term == disk.hard_state.current_term):
            return
        own = leader.term_at(index)
        if index > leader.last_index or (own is not None and not disk.holds(index, own)):
            raise Violation(
                LOG_MATCHING,
                f"{node} says that its log matches up to {index}; {leader.node}, which leads, has another entry there",
                node,
                leader.node,
            )

    def _check_vote(self, message: Message, candidate: str) -> None:
        voter, term = message.sender, message.term
        first = self._votes.setdefault((voter, message.sender_incarnation, term), candidate)
        if first != candidate:
            raise Violation(ONE_VOTE, f"{voter} votes for {first} and for {candidate} in term {term} (§5.2)", voter)
        synced = self.disk(voter).hard_state
        # A node that has gone on to a later term since then can't vote in this one again.
        if synced.current_term <= term and synced != HardState(term, candidate):
            raise Violation(
                STABLE_BEFORE_PROMISED,
                f"{voter} votes for {candidate} in term {term}; its disk has {synced}",
                voter,
            )

    # --- what clients were promised -------------------------------------------------------------------------------

    def command_sent_once(self, command: bytes) -> None:
        """A client sends this command and will not send it again once it may have been done."""
        self._sent_once.add(command)

    def write_acknowledged(self, node: str, command: bytes, index: int) -> None:
        """A node tells a client that its command is done: it must be committed at that index, for ever."""
        if not 0 < index <= len(self._committed) or command not in self._committed[index - 1].commands:
            raise Violation(
                ACKNOWLEDGED_WRITES,
                f"{node} acknowledges a write at index {index}, where that write is not committed",
                node,
            )

    def index_known(self, index: int) -> None:
        """A client has heard that its command is done, or its query answered, as of `index`."""
        self.acknowledged_index = max(self.acknowledged_index, index)

    def read_answered(self, node: str, index: int, acknowledged_before: int) -> None:
        """A node answers a read at `index`; so much was acknowledged to somebody before the read began."""
        if index < acknowledged_before:
            raise Violation(
                READS,
                f"{node} answers a read as of index {index}; one of {acknowledged_before} came before it",
                node,
            )


def _first_change(before: Observation, now: Observation) -> int | None:
    """The first index at which a log is not what it was; None: it is."""
    if before.first_index == now.first_index and before.entries == now.entries:
        return None
    start = max(before.first_index, now.first_index)
    stop = min(before.last_index, now.last_index)
    old, new = before.entries[start - before.first_index :], now.entries[start - now.first_index :]
    for index in range(stop, start - 1, -1):
        if old[index - start] is new[index - start] or old[index - start] == new[index - start]:
            return index + 1 if index < max(before.last_index, now.last_index) else None
    return start


def _brief(entry: Entry) -> str:
    return f"entry {entry.index} of term {entry.term}"


def _state(hard_state: HardState, entries: Sequence[Entry]) -> str:
    last = _brief(entries[-1]) if entries else "an empty log"
    return f"term {hard_state.current_term}, vote {hard_state.voted_for}, {last}"
