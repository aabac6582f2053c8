"""What must hold at every step, named after the paper (Figure 3), and what clients were promised.

The checks see all nodes at once, which no node can. They are incremental: a step costs what it changed. Each raises
`Violation` with the name of the invariant. Nothing here knows of networks, clocks or faults.

A node is known by its identity and its incarnation: one that lost its disk is another one, and what it had promised
counts for nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from zlib import crc32

from raft_pkg.core.configuration import Configuration, Member, quorums_overlap
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
from raft_pkg.storage.interface import Recovered

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
EXPIRED_SESSION = "An Expired Session Never Applies"
READS = "Reads See What Was Acknowledged"
LINEARIZABILITY = "Linearizability"
PROGRESS = "Progress"
STABILITY = "A Healthy Leader Keeps Its Office"
OWN_TERM_ENTRY = "A Leader Begins With an Entry of Its Term"
MATCH_INDEX = "Match Index Is True"
SOUND_NODE = "A Node Fails Only for Its Disk"
QUORUMS_OVERLAP = "Quorums of Adjacent Configurations Overlap"
ONE_CHANGE = "One Change at a Time"
OWN_TERM_CHANGE = "No Change Before a Commit of Its Term"
LEARNERS = "Learners Do Not Count"
NON_MEMBERS = "Who Left or Lost Its Disk Does Not Count"
COMPACTION = "Only What a Snapshot Covers Is Compacted"
SNAPSHOT_CONTENT = "A Snapshot Is What Was Committed"
SNAPSHOT_BYTES = "Equal Snapshots, Equal Bytes"

Identity = tuple[str, int]
"""A node and its incarnation."""


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
    incarnation: int
    term: int
    voted_for: str | None
    is_leader: bool
    commit_index: int
    applied_index: int
    applied_digest: int
    """Of the commands that its state machine was given, those behind its snapshot included."""
    state_hash: str
    """What it says itself of all that it has applied."""
    first_index: int
    previous_term: int
    """Of the entry before `first_index`; 0 where there is none."""
    entries: list[Entry]
    snapshot: SnapshotMetadata | None
    configuration: Configuration
    """The newest of its log, by which it goes."""
    configuration_index: int
    match_index: dict[Identity, int]
    """Of a leader: what it believes of its followers."""

    @classmethod
    def of(cls, raft: Raft, applied_index: int, applied_digest: int, state_hash: str) -> "Observation":
        """Look at a node's core."""
        log = raft.log
        return cls(
            raft.node_id,
            raft.incarnation,
            raft.current_term,
            raft.voted_for,
            raft.role is Role.LEADER,
            raft.commit_index,
            applied_index,
            applied_digest,
            state_hash,
            log.first_index,
            log.term_at(log.base_index) or 0,
            log.slice(log.first_index, log.last_index + 1),
            raft.snapshot,
            raft.configuration,
            raft.configuration_index,
            {(peer, progress.incarnation): progress.match_index for peer, progress in raft.progress.items()},
        )

    @property
    def identity(self) -> Identity:
        """Who this is."""
        return self.node, self.incarnation

    @property
    def last_index(self) -> int:
        """Index of the newest entry, or of the base where there is none."""
        return self.first_index + len(self.entries) - 1

    def entry_at(self, index: int) -> Entry | None:
        """The entry at an index, if the node holds it."""
        position = index - self.first_index
        return self.entries[position] if 0 <= position < len(self.entries) else None

    def term_at(self, index: int) -> int | None:
        """The term of the entry at an index, also of the base; None where the node does not know."""
        if index == self.first_index - 1:
            return self.previous_term
        entry = self.entry_at(index)
        return None if entry is None else entry.term


@dataclass(slots=True)
class Disk:
    """What a node's storage was asked to keep: what it said is durable, and what it may or may not have kept."""

    hard_state: HardState = field(default_factory=HardState)
    base_index: int = 0
    """Of the entry before the first; only a snapshot that was installed moves it."""
    base_term: int = 0
    entries: list[Entry] = field(default_factory=list)
    """All since the base, also those that were compacted away."""
    compacted_index: int = 0
    """Up to here they may be gone."""
    snapshot: SnapshotMetadata | None = None
    unsynced: list[HardState | Entry | SnapshotMetadata] = field(default_factory=list)

    @property
    def last_index(self) -> int:
        """Index of the newest entry that is durable."""
        return self.base_index + len(self.entries)

    @property
    def snapshot_index(self) -> int:
        """Last index that the snapshot stands for; 0: there is none."""
        return self.snapshot.index if self.snapshot else 0

    def term_at(self, index: int) -> int | None:
        """Term of an entry, or of the base; None where the log does not tell."""
        position = index - self.base_index - 1
        if position == -1:
            return self.base_term
        return self.entries[position].term if 0 <= position < len(self.entries) else None

    def holds(self, index: int, term: int) -> bool:
        """Whether that entry is durable, or a snapshot that stands for it."""
        return index <= self.snapshot_index or self.term_at(index) == term

    def append(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """The storage was asked to write."""
        if hard_state is not None:
            self.unsynced.append(hard_state)
        self.unsynced += entries

    def begin_to_commit(self, snapshot: SnapshotMetadata) -> None:
        """The storage was asked to make this its snapshot, after all that was written before."""
        self.unsynced.append(snapshot)

    def compact(self, index: int) -> None:
        """The storage was told that entries up to an index may go."""
        self.compacted_index = max(self.compacted_index, index)

    def sync(self) -> None:
        """The storage says that all of it is on disk."""
        for value in self.unsynced:
            self._keep(value)
        self.unsynced.clear()

    def recovered(self, found: Recovered) -> bool:
        """Take over what recovery found; False when a crash can't have left that."""
        unsynced, self.unsynced = self.unsynced, []
        possible = self._may_be(found)
        for value in unsynced:
            if possible:
                break
            self._keep(value)
            possible = self._may_be(found)
        return possible

    def _may_be(self, found: Recovered) -> bool:
        return (
            self.hard_state == found.hard_state
            and self.snapshot == found.snapshot
            and self.base_index <= found.base_index <= max(self.base_index, self.compacted_index)
            and self.term_at(found.base_index) == found.base_term
            and self.entries[found.base_index - self.base_index :] == found.entries
        )

    def _keep(self, value: HardState | Entry | SnapshotMetadata) -> None:
        match value:
            case HardState():
                self.hard_state = value
            case Entry():
                del self.entries[value.index - self.base_index - 1 :]
                self.entries.append(value)
            case SnapshotMetadata():
                self.snapshot = value
                if self.term_at(value.index) != value.term:
                    self.base_index, self.base_term = value.index, value.term
                    self.entries.clear()

    def __str__(self) -> str:
        return _state(self.hard_state, self.snapshot, self.entries)


@dataclass(slots=True)
class _Committed:
    """An entry that a leader has committed, and all that follows from it."""

    entry: Entry
    term: int
    """In which it was committed."""
    digest: int
    """Of all commands that took effect up to and including its own."""
    commands: Sequence[bytes]
    """Those of its commands that take effect."""
    configuration: Configuration
    """The newest up to and including it."""
    configuration_index: int


class Invariants:
    """All that the paper promises of one cluster, checked step by step.

    `effects_of` is called once with each committed entry, in order: which of its commands are to be applied.
    """

    def __init__(self, effects_of: Callable[[Entry], Sequence[bytes]]) -> None:
        self._effects_of = effects_of
        self._disks: dict[Identity, Disk] = {}
        self._incarnations: dict[str, int] = {}
        self._nodes: dict[str, Observation] = {}
        self._leaders: dict[int, Identity] = {}
        self._logs_of_leaders: dict[int, Observation] = {}
        self._entries: dict[tuple[int, int], tuple[Entry, int]] = {}
        self._decoded: dict[bytes, Configuration] = {}
        self._committed: list[_Committed] = []
        self._snapshots: dict[int, tuple[SnapshotMetadata, bytes]] = {}
        self._effected: dict[bytes, int] = {}
        self._applied_as: dict[bytes, int] = {}
        self._refused: set[bytes] = set()
        self._answers: dict[int, int] = {}
        self._state_hashes: dict[int, str] = {}
        self._votes: dict[tuple[Identity, int], Identity] = {}
        self._sent_once: set[bytes] = set()
        self.acknowledged_index = 0
        """The highest index that some client has heard of in an outcome."""

    @property
    def committed_index(self) -> int:
        """The highest index that was ever committed."""
        return len(self._committed)

    @property
    def leaders(self) -> int:
        """How many terms had a leader."""
        return len(self._leaders)

    @property
    def configuration(self) -> Configuration:
        """The newest that was committed."""
        return self._committed[-1].configuration if self._committed else Configuration()

    def disk(self, node: str, incarnation: int) -> Disk:
        """The record of what a node's storage was asked to keep."""
        disk = self._disks.get((node, incarnation))
        if disk is None:
            disk = self._disks[node, incarnation] = Disk()
        return disk

    def possible_configurations(self) -> list[Configuration]:
        """Those by which the cluster may go from now on: the last one committed, and what disks hold beyond it."""
        newest = self._committed[-1].configuration_index if self._committed else 0
        found = [self.configuration]
        for node, incarnation in self._incarnations.items():
            disk = self.disk(node, incarnation)
            values = [*disk.entries[max(0, newest - disk.base_index) :], *disk.unsynced]
            entries = [value for value in values if isinstance(value, Entry) and value.index > newest]
            found += [self._decode(entry) for entry in entries if entry.kind is EntryKind.CONFIGURATION]
        return found

    # --- a node's life --------------------------------------------------------------------------------------------

    def node_started(self, node: str, found: Recovered) -> None:
        """A node has recovered this from its disk."""
        known = self._incarnations.setdefault(node, found.incarnation)
        if known != found.incarnation:
            raise Violation(RECOVERY, f"{node} was incarnation {known}, and is {found.incarnation} now", node)
        disk = self.disk(node, found.incarnation)
        expected = f"{disk} and {len(disk.unsynced)} records that were not synced"
        if not disk.recovered(found):
            state = _state(found.hard_state, found.snapshot, found.entries)
            raise Violation(RECOVERY, f"{node} recovered {state}; its disk held {expected}", node)
        self._nodes.pop(node, None)

    def disk_lost(self, node: str) -> None:
        """A machine has got an empty disk: what it was is gone, and a new incarnation will take its place."""
        self._incarnations.pop(node, None)
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
            if before is None or before.configuration_index != now.configuration_index:
                self._check_changes(before, now)
            self._check_match_index(now)
        if before is None or now.commit_index != before.commit_index:
            self._check_commit(before, now)
        if before is None or now.first_index != before.first_index:
            self._check_base(now)
        if before is None or now.applied_index != before.applied_index or now.applied_digest != before.applied_digest:
            self._check_applied(now)

    # --- Figure 3 -------------------------------------------------------------------------------------------------

    def _check_election(self, now: Observation) -> None:
        """Election Safety: at most one leader can be elected in a given term (§5.2)."""
        leader = self._leaders.setdefault(now.term, now.identity)
        if leader != now.identity:
            raise Violation(
                ELECTION_SAFETY, f"{leader[0]} and {now.node} both lead term {now.term}", leader[0], now.node
            )

        def votes(voter: Identity) -> bool:
            return voter == now.identity or self._votes.get((voter, now.term)) == now.identity

        if not _agree(now.configuration, votes):
            voters = {voter for voter, term in self._votes if term == now.term and votes(voter)} | {now.identity}
            raise Violation(
                _miscounted(now.configuration, voters, ELECTION_SAFETY),
                f"{now.node} leads term {now.term} with the votes of {_names(voters)} alone, "
                f"in {_describe(now.configuration)}",
                now.node,
            )
        self._logs_of_leaders[now.term] = now
        if now.term_at(now.last_index) != now.term:
            raise Violation(
                OWN_TERM_ENTRY, f"{now.node} leads term {now.term} with no entry of that term to commit (§8)", now.node
            )
        for committed in self._committed:
            if committed.term < now.term:
                self._check_complete(now, committed)

    def _check_match_index(self, leader: Observation) -> None:
        """What a leader believes that its followers hold is on their disks (Figure 2, matchIndex)."""
        for follower, index in leader.match_index.items():
            if not index:
                continue
            disk = self.disk(*follower)
            if disk.hard_state.current_term != leader.term:
                continue  # a follower in a newer term may have replaced it since
            own = leader.entry_at(index)
            term = disk.term_at(index) if own is None else own.term
            if index > leader.last_index or not disk.holds(index, -1 if term is None else term):
                raise Violation(
                    MATCH_INDEX,
                    f"{leader.node} leads term {leader.term} and believes that {follower[0]} holds its entry {index}",
                    leader.node,
                    follower[0],
                )

    def _check_complete(self, leader: Observation, committed: _Committed) -> None:
        """Leader Completeness: an entry committed in a term is in the logs of the leaders of all later terms (§5.4).

        What a log begins after is in the snapshot, which is checked as such.
        """
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
                self._leaders.get(committed.term, leader.identity)[0],
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
        previous_term = now.term_at(changed_from - 1) or 0
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
            if entry.kind is EntryKind.CONFIGURATION:
                self._check_overlap(now, entry)
            previous_term = entry.term

    def _check_base(self, now: Observation) -> None:
        """What a log no longer has is committed, and in a snapshot (§7)."""
        base_index = now.first_index - 1
        if not base_index:
            return
        if now.snapshot is None or base_index > now.snapshot.index:
            raise Violation(
                COMPACTION,
                f"{now.node}'s log begins after entry {base_index}, its snapshot is {now.snapshot}",
                now.node,
            )
        if base_index > len(self._committed) or self._committed[base_index - 1].entry.term != now.previous_term:
            raise Violation(
                LOG_MATCHING,
                f"{now.node}'s log begins after entry {base_index} of term {now.previous_term}, which is not committed",
                now.node,
            )

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
            self._check_same_committed(now, self._entry(now, index))
        if now.commit_index > len(self._committed):
            # In one step, a leader can commit and then hear of its successor.
            leader = before if before and before.is_leader and not now.is_leader else now
            self._check_commit_rule(before, now, leader)
            for index in range(len(self._committed) + 1, now.commit_index + 1):
                self._commit(self._entry(now, index), leader.term)

    def _entry(self, now: Observation, index: int) -> Entry:
        """An entry that a node commits; it may have been compacted away in the very step, and is on the disk then."""
        entry = now.entry_at(index)
        if entry is None:
            disk = self.disk(*now.identity)
            if not disk.base_index < index <= disk.last_index:
                raise Violation(COMMIT_RULE, f"{now.node} commits entry {index}, and has not got it", now.node)
            entry = disk.entries[index - disk.base_index - 1]
        return entry

    def _check_same_committed(self, now: Observation, held: Entry) -> None:
        committed = self._committed[held.index - 1].entry
        if held is not committed and held != committed:
            raise Violation(
                STATE_MACHINE_SAFETY,
                f"{now.node} commits {_brief(held)}; {_brief(committed)} was committed before",
                now.node,
            )

    def _check_commit_rule(self, before: Observation | None, now: Observation, leader: Observation) -> None:
        """Only a leader commits first, only by an entry of its own term, and only when a majority holds it on disk."""
        entry = self._entry(now, now.commit_index)
        if not leader.is_leader:
            raise Violation(
                COMMIT_RULE, f"{now.node} is no leader and commits {_brief(entry)}, which no leader has", now.node
            )
        if entry.term != leader.term:
            raise Violation(
                COMMIT_RULE, f"{now.node} leads term {leader.term} and commits {_brief(entry)} (§5.4.2)", now.node
            )
        in_force = self._in_force(before, now, leader)
        if not any(self._is_held(entry, configuration) for _, configuration in in_force):
            raise self._not_held(now, entry, in_force[-1][1])
        # What the leader appends after a configuration's commit, in the same step, follows its own majorities (§6).
        for (index, configuration), (following, _) in pairwise(in_force):
            if index > len(self._committed) and self._entry(now, following).term == leader.term:
                change = self._entry(now, index)
                if not self._is_held(change, configuration):
                    raise self._not_held(now, change, configuration)

    def _in_force(
        self, before: Observation | None, now: Observation, leader: Observation
    ) -> list[tuple[int, Configuration]]:
        """The configurations by which the leader has gone in this step, in order, with their indexes."""
        if before is None or before.configuration_index == now.configuration_index:
            return [(now.configuration_index, now.configuration)]
        changes = self._changes_after(now, before.configuration_index)
        own = [entry for entry in changes if leader is now or entry.term == leader.term]
        return [
            (before.configuration_index, before.configuration),
            *((entry.index, self._decode(entry)) for entry in own),
        ]

    def _changes_after(self, now: Observation, index: int) -> list[Entry]:
        entries = (self._entry(now, later) for later in range(index + 1, now.last_index + 1))
        return [entry for entry in entries if entry.kind is EntryKind.CONFIGURATION]

    def _is_held(self, entry: Entry, configuration: Configuration) -> bool:
        return _agree(configuration, lambda member: self._holds(member, entry))

    def _holds(self, node: Identity, entry: Entry) -> bool:
        disk = self._disks.get(node)
        return disk is not None and disk.holds(entry.index, entry.term)

    def _not_held(self, now: Observation, entry: Entry, configuration: Configuration) -> Violation:
        holders = {node for node in self._disks if self._holds(node, entry)}
        return Violation(
            _miscounted(configuration, holders, COMMIT_RULE),
            f"{now.node} commits {_brief(entry)}, which only {_names(holders)} has on disk, "
            f"in {_describe(configuration)}",
            now.node,
        )

    def _commit(self, entry: Entry, term: int) -> None:
        last = self._committed[-1] if self._committed else None
        digest = last.digest if last else 0
        commands = self._effects_of(entry)
        for command in commands:
            digest = crc32(command, digest)
            index = self._effected.setdefault(command, entry.index)
            if index != entry.index and command in self._sent_once:
                raise Violation(
                    AT_MOST_ONCE, f"a command that was to be applied once is committed at {index} and {entry.index}"
                )
        if entry.kind is EntryKind.CONFIGURATION or last is None:
            place = (self._decode(entry) if entry.kind is EntryKind.CONFIGURATION else Configuration()), entry.index
        else:
            place = last.configuration, last.configuration_index
        committed = _Committed(entry, term, digest, commands, *place)
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
        known = self._state_hashes.setdefault(now.applied_index, now.state_hash)
        if now.state_hash != known:
            raise Violation(
                STATE_MACHINE_SAFETY,
                f"{now.node}'s state hash after {now.applied_index} is {now.state_hash}, others' is {known}",
                now.node,
            )

    def applied(self, node: str, count: int, command: bytes, answers_digest: int) -> None:
        """A state machine applies its `count`-th command, and its answers so far add up to that."""
        if command in self._sent_once:
            if command in self._refused:
                raise Violation(
                    EXPIRED_SESSION, f"{node} applies {command!r}, of which it was said that it never would"
                )
            first = self._applied_as.setdefault(command, count)
            if first != count:
                raise Violation(AT_MOST_ONCE, f"{command!r} is applied as command {first}, and by {node} as {count}")
        self.answered(node, count, answers_digest)

    def answered(self, node: str, count: int, digest: int) -> None:
        """A state machine that was given so many commands has answered them so: every other must answer the same."""
        if self._answers.setdefault(count, digest) != digest:
            raise Violation(STATE_MACHINE_SAFETY, f"{node} answers command {count} of its log as no other did", node)

    # --- members (§6) ---------------------------------------------------------------------------------------------

    def _check_overlap(self, now: Observation, entry: Entry) -> None:
        """A configuration and the one before it in a log can't decide without each other (§6)."""
        before = self._configuration_before(now, entry.index)
        after = self._decode(entry)
        if before and not quorums_overlap(before, after):
            raise Violation(
                QUORUMS_OVERLAP,
                f"{now.node}: majorities of {_describe(after)}, entry {entry.index}, need not have a voter in common "
                f"with those of {_describe(before)} before it",
                now.node,
            )

    def _configuration_before(self, now: Observation, index: int) -> Configuration | None:
        for entry in reversed(now.entries[: index - now.first_index]):
            if entry.kind is EntryKind.CONFIGURATION:
                return self._decode(entry)
        return now.snapshot.configuration if now.snapshot and now.snapshot.index < index else None

    def _check_changes(self, before: Observation | None, now: Observation) -> None:
        """A leader changes the members only when the last change and an entry of its term are committed (§6)."""
        known = before.configuration_index if before else now.first_index - 1
        changes = self._changes_after(now, known)
        for entry in (entry for entry in changes if entry.term == now.term):
            if known > now.commit_index:
                raise Violation(
                    ONE_CHANGE,
                    f"{now.node} changes the members at {entry.index}, while the change at {known} is not committed",
                    now.node,
                )
            if now.term_at(now.commit_index) != now.term:
                raise Violation(
                    OWN_TERM_CHANGE,
                    f"{now.node} changes the members at {entry.index}, and has committed nothing in term {now.term}",
                    now.node,
                )
            known = entry.index

    def _decode(self, entry: Entry) -> Configuration:
        configuration = self._decoded.get(entry.data)
        if configuration is None:
            configuration = self._decoded[entry.data] = Configuration.decode(entry.data)
        return configuration

    # --- snapshots (§7) -------------------------------------------------------------------------------------------

    def compacted(self, node: str, incarnation: int, index: int) -> None:
        """A storage is told that entries up to an index may go."""
        disk = self.disk(node, incarnation)
        if index > disk.snapshot_index:
            raise Violation(
                COMPACTION, f"{node} lets entries up to {index} go; its snapshot ends at {disk.snapshot_index}", node
            )
        disk.compact(index)

    def snapshot_kept(self, node: str, snapshot: SnapshotMetadata, data: bytes) -> None:
        """A node has made this its snapshot: one that it took, or was sent."""
        if snapshot.size != len(data) or snapshot.checksum != crc32(data):
            raise Violation(SNAPSHOT_BYTES, f"{node}'s snapshot of {len(data)} bytes calls itself {snapshot}", node)
        committed = self._committed[snapshot.index - 1] if 0 < snapshot.index <= len(self._committed) else None
        is_right = (
            committed is not None
            and snapshot.term == committed.entry.term
            and snapshot.configuration == committed.configuration
        )
        if not is_right:
            raise Violation(
                SNAPSHOT_CONTENT,
                f"{node}'s snapshot is {snapshot}; committed there is "
                f"{committed and (_brief(committed.entry), _describe(committed.configuration))}",
                node,
            )
        known, its_data = self._snapshots.setdefault(snapshot.index, (snapshot, data))
        if known != snapshot or its_data != data:
            raise Violation(SNAPSHOT_BYTES, f"{node}'s snapshot of index {snapshot.index} is not as others' are", node)

    def _check_chunk(self, sender: str, body: InstallSnapshot) -> None:
        """What is sent of a snapshot is a piece of it."""
        known = self._snapshots.get(body.metadata.index)
        stop = body.offset + len(body.data)
        if known is None or known[0] != body.metadata or known[1][body.offset : stop] != body.data:
            raise Violation(
                SNAPSHOT_BYTES,
                f"{sender} sends bytes {body.offset} to {stop} of {body.metadata}, which are not its snapshot's",
                sender,
            )

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
        sender = message.sender, message.sender_incarnation
        match message.body:
            case AppendEntries():
                self._check_term_is_stable(sender, message.term)
            case AppendEntriesReply(success=True, match_index=index):
                self._check_match_is_stable(sender, message.term, index)
            case RequestVote():
                self._check_vote(sender, message.term, sender)
            case RequestVoteReply(vote_granted=True):
                self._check_vote(sender, message.term, (message.recipient, message.recipient_incarnation))
            case InstallSnapshot() as body:
                self._check_term_is_stable(sender, message.term)
                self._check_chunk(message.sender, body)
            case RequestVoteReply() | AppendEntriesReply() | InstallSnapshotReply():
                self._check_term_is_stable(sender, message.term)

    def _check_term_is_stable(self, node: Identity, term: int) -> None:
        synced_term = self.disk(*node).hard_state.current_term
        if term > synced_term:
            raise Violation(
                STABLE_BEFORE_PROMISED, f"{node[0]} speaks in term {term}; its disk has term {synced_term}", node[0]
            )

    def _check_match_is_stable(self, node: Identity, term: int, index: int) -> None:
        self._check_term_is_stable(node, term)
        disk = self.disk(*node)
        if disk.hard_state.current_term == term and index > disk.last_index:
            raise Violation(
                STABLE_BEFORE_PROMISED,
                f"{node[0]} says in term {term} that it holds entry {index}; its disk ends at {disk.last_index}",
                node[0],
            )
        leader = self._nodes.get(self._leaders.get(term, ("", 0))[0])
        if not (index and leader and leader.is_leader and leader.term == term == disk.hard_state.current_term):
            return
        own, held = leader.term_at(index), disk.term_at(index)
        if index > leader.last_index or (own is not None and held is not None and own != held):
            raise Violation(
                LOG_MATCHING,
                f"{node[0]} says that its log matches up to entry {index} of term {held}; {leader.node}, which leads, "
                "has another there",
                node[0],
                leader.node,
            )

    def _check_vote(self, voter: Identity, term: int, candidate: Identity) -> None:
        first = self._votes.setdefault((voter, term), candidate)
        name = voter[0]
        if first != candidate:
            raise Violation(ONE_VOTE, f"{name} votes for {first[0]} and for {candidate[0]} in term {term} (§5.2)", name)
        synced = self.disk(*voter).hard_state
        # A node that has gone on to a later term since then can't vote in this one again.
        if synced.current_term <= term and synced != HardState(term, candidate[0]):
            raise Violation(
                STABLE_BEFORE_PROMISED,
                f"{name} votes for {candidate[0]} in term {term}; its disk has {synced}",
                name,
            )

    # --- what clients were promised -------------------------------------------------------------------------------

    def command_sent_once(self, command: bytes) -> None:
        """A client sends this command, which is like no other, and wants it to be done at most once."""
        self._sent_once.add(command)

    def write_acknowledged(self, node: str, command: bytes, index: int) -> None:
        """A node tells a client that its command is done: it must be committed at that index, for ever."""
        if not 0 < index <= len(self._committed) or command not in self._committed[index - 1].commands:
            raise Violation(
                ACKNOWLEDGED_WRITES,
                f"{node} acknowledges a write at index {index}, where that write is not committed",
                node,
            )

    def session_expired(self, command: bytes) -> None:
        """A client is told that its session has expired: the command is not applied from now on."""
        if command not in self._applied_as:
            self._refused.add(command)

    def command_renewed(self, command: bytes) -> None:
        """The client sends a command that was surely not done in another session."""
        self._refused.discard(command)

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


def _agree(configuration: Configuration, supports: Callable[[Identity], bool]) -> bool:
    """Whether a majority of its voters supports something, and of the outgoing ones too (§6)."""

    def majority(group: tuple[Member, ...]) -> bool:
        return 2 * sum(supports((member.node_id, member.incarnation)) for member in group) > len(group)

    return majority(configuration.voters) and (not configuration.outgoing or majority(configuration.outgoing))


def _miscounted(configuration: Configuration, supporters: set[Identity], otherwise: str) -> str:
    """Which rule was broken, if those who support something would be enough had they a vote."""
    learners = {(member.node_id, member.incarnation) for member in configuration.learners} & supporters
    voters = {(member.node_id, member.incarnation) for member in configuration.voters + configuration.outgoing}
    non_members = supporters - learners - voters
    needed = len(configuration.voters) // 2 + 1
    if len(supporters) < needed:
        return otherwise
    return LEARNERS if learners else NON_MEMBERS if non_members else otherwise


def _first_change(before: Observation, now: Observation) -> int | None:
    """The first index at which a log is not what it was; None: it is, but for what was compacted away."""
    if before.first_index == now.first_index and before.entries == now.entries:
        return None
    start = max(before.first_index, now.first_index)
    stop = min(before.last_index, now.last_index)
    old, new = before.entries[start - before.first_index :], now.entries[start - now.first_index :]
    for index in range(stop, start - 1, -1):
        if old[index - start] is new[index - start] or old[index - start] == new[index - start]:
            return index + 1 if index < max(before.last_index, now.last_index) else None
    return start if before.last_index != now.last_index or start <= stop else None


def _brief(entry: Entry) -> str:
    return f"entry {entry.index} of term {entry.term}"


def _names(nodes: set[Identity]) -> str:
    return ", ".join(sorted(node for node, _ in nodes)) or "nobody"


def _describe(configuration: Configuration) -> str:
    """A configuration for people: who votes, who learns, who is going."""
    groups = {"voters": configuration.voters, "learners": configuration.learners, "outgoing": configuration.outgoing}
    return " ".join(
        f"{name} {_names({(m.node_id, 0) for m in members})}" for name, members in groups.items() if members
    )


def _state(hard_state: HardState, snapshot: SnapshotMetadata | None, entries: Sequence[Entry]) -> str:
    last = _brief(entries[-1]) if entries else "no entry"
    upto = f"a snapshot up to {snapshot.index}" if snapshot else "no snapshot"
    return f"term {hard_state.current_term}, vote {hard_state.voted_for}, {upto}, {last}"
