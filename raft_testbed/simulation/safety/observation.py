"""The state of one node after a step, as the safety checks see it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.raft import Raft
from raft_pkg.core.types import Entry, HardState, Role, SnapshotMetadata

Identity = tuple[str, int]
"""Node id and incarnation: a node that lost its disk is another node."""


@dataclass(slots=True)
class Observation:
    """The state of a node at the end of a step."""

    node: str
    incarnation: int
    term: int
    voted_for: str | None
    is_leader: bool
    commit_index: int
    applied_index: int
    applied_digest: int
    """CRC-32 of all commands that the state machine was given, including those that its snapshot covers."""
    state_hash: str
    """The node's own hash of everything that it has applied."""
    first_index: int
    previous_term: int
    """Term of the entry before `first_index`; 0 if there is none."""
    entries: list[Entry]
    snapshot: SnapshotMetadata | None
    configuration: Configuration
    """The effective configuration: the newest in the log (§6)."""
    configuration_index: int
    match_index: dict[Identity, int]
    """A leader's matchIndex of each follower; empty on other nodes."""

    @classmethod
    def of(cls, raft: Raft, applied_index: int, applied_digest: int, state_hash: str) -> "Observation":
        """Observe a core; the other arguments are the state of the node around it."""
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
        """Node id and incarnation."""
        return self.node, self.incarnation

    @property
    def last_index(self) -> int:
        """Index of the newest entry, or of the base if the log is empty."""
        return self.first_index + len(self.entries) - 1

    def entry_at(self, index: int) -> Entry | None:
        """Return the entry at an index, or None if the log does not hold it."""
        position = index - self.first_index
        return self.entries[position] if 0 <= position < len(self.entries) else None

    def term_at(self, index: int) -> int | None:
        """Return the term of the entry at an index or of the base, or None if the log does not hold it."""
        if index == self.first_index - 1:
            return self.previous_term
        entry = self.entry_at(index)
        return None if entry is None else entry.term


def first_change(before: Observation, now: Observation) -> int | None:
    """Return the first index at which a log differs from before, compaction aside; None if it does not differ."""
    if before.first_index == now.first_index and before.entries == now.entries:
        return None
    start = max(before.first_index, now.first_index)
    stop = min(before.last_index, now.last_index)
    old, new = before.entries[start - before.first_index :], now.entries[start - now.first_index :]
    for index in range(stop, start - 1, -1):
        if old[index - start] is new[index - start] or old[index - start] == new[index - start]:
            return index + 1 if index < max(before.last_index, now.last_index) else None
    return start if before.last_index != now.last_index or start <= stop else None


def describe_entry(entry: Entry) -> str:
    """Name an entry by index and term."""
    return f"entry {entry.index} of term {entry.term}"


def describe_nodes(nodes: Iterable[Identity]) -> str:
    """List node ids in order."""
    return ", ".join(sorted(node for node, _ in nodes)) or "no node"


def describe_configuration(configuration: Configuration) -> str:
    """List voters, learners and outgoing voters."""
    groups = {"voters": configuration.voters, "learners": configuration.learners, "outgoing": configuration.outgoing}
    return " ".join(
        f"{name} {describe_nodes({(m.node_id, 0) for m in members})}" for name, members in groups.items() if members
    )


def describe_durable_state(hard_state: HardState, snapshot: SnapshotMetadata | None, entries: Sequence[Entry]) -> str:
    """Summarize what a disk holds."""
    last = describe_entry(entries[-1]) if entries else "no entry"
    covered = f"a snapshot up to {snapshot.index}" if snapshot else "no snapshot"
    return f"term {hard_state.current_term}, vote {hard_state.voted_for}, {covered}, {last}"
