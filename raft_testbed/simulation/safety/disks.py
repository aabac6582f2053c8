"""What each node's storage must hold: recovery, and durability before a message is sent (Figure 2)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from raft_pkg.core.types import Entry, HardState, SnapshotMetadata
from raft_pkg.storage.interface import Recovered
from raft_testbed.simulation.safety.observation import Identity, Observation, describe_durable_state
from raft_testbed.simulation.safety.violation import COMMIT_RULE, COMPACTION, RECOVERY, STABLE_STORAGE, Violation


@dataclass(slots=True)
class Disk:
    """A model of one node's storage: what it reported as durable, and the records that a crash may or may not keep."""

    hard_state: HardState = field(default_factory=HardState)
    base_index: int = 0
    """Index of the entry before the first. Only an installed snapshot moves it."""
    base_term: int = 0
    entries: list[Entry] = field(default_factory=list)
    """All entries since the base, including compacted ones."""
    compacted_index: int = 0
    """Entries up to this index may have been removed."""
    snapshot: SnapshotMetadata | None = None
    unsynced: list[HardState | Entry | SnapshotMetadata] = field(default_factory=list)
    incoming: dict[int, int] = field(default_factory=dict)
    """Bytes of each snapshot that was begun, by its index; they are durable as soon as they are written."""

    @property
    def last_index(self) -> int:
        """Index of the newest durable entry."""
        return self.base_index + len(self.entries)

    @property
    def snapshot_index(self) -> int:
        """Last index that the snapshot covers; 0 without a snapshot."""
        return self.snapshot.index if self.snapshot else 0

    def entry_at(self, index: int) -> Entry | None:
        """Return a durable entry, compacted or not; None if there is none at the index."""
        position = index - self.base_index - 1
        return self.entries[position] if 0 <= position < len(self.entries) else None

    def term_at(self, index: int) -> int | None:
        """Return the term of a durable entry or of the base; None for any other index."""
        position = index - self.base_index - 1
        if position == -1:
            return self.base_term
        return self.entries[position].term if 0 <= position < len(self.entries) else None

    def holds(self, index: int, term: int) -> bool:
        """Return whether that entry is durable, or covered by the snapshot."""
        return index <= self.snapshot_index or self.term_at(index) == term

    def append(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Record a write."""
        if hard_state is not None:
            self.unsynced.append(hard_state)
        self.unsynced += entries

    def begin_snapshot(self, index: int) -> None:
        """Record that the storage begins to write a snapshot."""
        self.incoming[index] = 0

    def write_snapshot(self, index: int, size: int) -> None:
        """Record that bytes of a snapshot were written."""
        self.incoming[index] += size

    def begin_to_commit(self, snapshot: SnapshotMetadata) -> None:
        """Record that the storage starts to replace its snapshot, after all earlier writes."""
        self.unsynced.append(snapshot)

    def compact(self, index: int) -> None:
        """Record that entries up to an index may be removed."""
        self.compacted_index = max(self.compacted_index, index)

    def sync(self) -> None:
        """Record that the storage reported all writes as durable."""
        for value in self.unsynced:
            self._keep(value)
        self.unsynced.clear()

    def recovered(self, found: Recovered) -> bool:
        """Adopt the recovered state. Return False if no crash can have left it."""
        unsynced, self.unsynced = self.unsynced, []
        possible = self._equals(found)
        for value in unsynced:
            if possible:
                break
            self._keep(value)
            possible = self._equals(found)
        return possible

    def _equals(self, found: Recovered) -> bool:
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
        return describe_durable_state(self.hard_state, self.snapshot, self.entries)


class DiskChecker:
    """Checks recovery and compaction, and that a node's messages rest on durable state.

    Owns the model of every disk, also of those that were lost.
    """

    def __init__(self) -> None:
        self._disks: dict[Identity, Disk] = {}
        self._incarnations: dict[str, int] = {}

    def disk(self, node: str, incarnation: int) -> Disk:
        """Return the model of a disk; an unknown one is empty."""
        disk = self._disks.get((node, incarnation))
        if disk is None:
            disk = self._disks[node, incarnation] = Disk()
        return disk

    @property
    def current(self) -> list[Disk]:
        """The disks that machines have now."""
        return [self.disk(node, incarnation) for node, incarnation in self._incarnations.items()]

    def holds(self, node: Identity, entry: Entry) -> bool:
        """Return whether a node has an entry, or a snapshot that covers it, on its disk."""
        disk = self._disks.get(node)
        return disk is not None and disk.holds(entry.index, entry.term)

    def holders(self, entry: Entry) -> set[Identity]:
        """Return all nodes that have an entry on their disks."""
        return {node for node in self._disks if self.holds(node, entry)}

    def entry_of(self, now: Observation, index: int) -> Entry:
        """Return an entry that a node held in this step; its disk has it if the step also compacted it."""
        entry = now.entry_at(index) or self.disk(*now.identity).entry_at(index)
        if entry is None:
            raise Violation(COMMIT_RULE, f"{now.node} commits entry {index}, which it does not hold", now.node)
        return entry

    def node_started(self, node: str, found: Recovered) -> None:
        """Check what recovery found: what was synced, and any prefix of the later writes."""
        known = self._incarnations.setdefault(node, found.incarnation)
        if known != found.incarnation:
            raise Violation(RECOVERY, f"{node} was incarnation {known}, and is {found.incarnation} now", node)
        disk = self.disk(node, found.incarnation)
        expected = f"{disk} and {len(disk.unsynced)} unsynced records"
        if not disk.recovered(found):
            state = describe_durable_state(found.hard_state, found.snapshot, found.entries)
            raise Violation(RECOVERY, f"{node} recovered {state}; its disk held {expected}", node)

    def disk_lost(self, node: str) -> None:
        """Record that a machine has an empty disk: its next node is a new incarnation."""
        self._incarnations.pop(node, None)

    def compacted(self, node: str, incarnation: int, index: int) -> None:
        """Check that compaction removes only entries that the snapshot covers (§7)."""
        disk = self.disk(node, incarnation)
        if index > disk.snapshot_index:
            raise Violation(
                COMPACTION, f"{node} removes entries up to {index}; its snapshot ends at {disk.snapshot_index}", node
            )
        disk.compact(index)

    def check_term(self, node: Identity, term: int) -> None:
        """Check that a node's term is durable before it sends a message in it."""
        synced_term = self.disk(*node).hard_state.current_term
        if term > synced_term:
            raise Violation(STABLE_STORAGE, f"{node[0]} sends in term {term}; its disk has term {synced_term}", node[0])

    def check_match(self, node: Identity, term: int, index: int) -> None:
        """Check that the entries that a follower acknowledges are durable."""
        self.check_term(node, term)
        disk = self.disk(*node)
        if disk.hard_state.current_term == term and index > disk.last_index:
            raise Violation(
                STABLE_STORAGE,
                f"{node[0]} acknowledges entry {index} in term {term}; its disk ends at {disk.last_index}",
                node[0],
            )

    def check_chunks(self, node: Identity, term: int, index: int, next_offset: int) -> None:
        """Check that the part of a snapshot that a follower acknowledges is durable, or everything that it covers."""
        self.check_term(node, term)
        disk = self.disk(*node)
        if disk.incoming.get(index, 0) < next_offset and max(disk.last_index, disk.snapshot_index) < index:
            raise Violation(
                STABLE_STORAGE,
                f"{node[0]} acknowledges {next_offset} bytes of the snapshot of index {index}; its disk has "
                f"{disk.incoming.get(index, 0)}, and its log ends at {disk.last_index}",
                node[0],
            )

    def check_vote(self, voter: Identity, term: int, candidate: Identity) -> None:
        """Check that a vote is durable before it is sent."""
        synced = self.disk(*voter).hard_state
        # A node that has entered a later term since then cannot vote in this one again.
        if synced.current_term <= term and synced != HardState(term, candidate[0]):
            raise Violation(
                STABLE_STORAGE,
                f"{voter[0]} votes for {candidate[0]} in term {term}; its disk has {synced}",
                voter[0],
            )
