"""Changes of a node's log, and what of it is written, durable and applied (paper, Figure 2, §5.3, §7)."""

from collections.abc import Sequence

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.effective_configuration import EffectiveConfiguration
from raft_pkg.core.errors import InvariantError
from raft_pkg.core.ready import Ready
from raft_pkg.core.state import RaftState
from raft_pkg.core.types import Entry, EntryKind, HardState, SnapshotMetadata


class ReplicatedLog:
    """Owns the log's positions: from where it has to be written, up to where it is durable and handed out to apply."""

    def __init__(self, state: RaftState, configuration: EffectiveConfiguration) -> None:
        self._state = state
        self._configuration = configuration
        self._saved_hard_state = HardState(state.current_term, state.voted_for)
        self._first_unsaved = state.log.last_index + 1
        self._handed_out = state.commit_index
        self.durable_index = state.log.last_index
        """Index up to which the log is synced."""

    def append_new(self, kind: EntryKind, data: bytes) -> Entry:
        """Append an entry of the current term to the leader's log."""
        entry = Entry(self._state.log.last_index + 1, self._state.current_term, kind, data)
        self._append(entry)
        return entry

    def store(self, entries: Sequence[Entry]) -> None:
        """Append the new entries of the leader, and remove only conflicting ones: the request may be stale (§5.3)."""
        log = self._state.log
        for entry in entries:
            found_term = log.term_at(entry.index)
            if found_term == entry.term:
                continue
            if found_term is not None:
                self._truncate_from(entry.index)
            self._append(entry)

    def _append(self, entry: Entry) -> None:
        self._state.log.append(entry)
        if entry.kind is EntryKind.CONFIGURATION:
            self._configuration.append(entry.index, Configuration.decode(entry.data))

    def _truncate_from(self, index: int) -> None:
        state = self._state
        if index <= state.commit_index:
            raise InvariantError(
                f"Leader Completeness (§5.4): term {state.current_term} would replace entry {index} of "
                f"{state.node_id}, which is committed (commit index {state.commit_index})"
            )
        state.log.truncate_from(index)
        self._first_unsaved = min(self._first_unsaved, index)
        self.durable_index = min(self.durable_index, index - 1)
        self._configuration.truncate_from(index)

    def install(self, metadata: SnapshotMetadata) -> None:
        """Replace the whole log with a snapshot (Figure 13, InstallSnapshot, steps 7 and 8)."""
        state = self._state
        state.snapshot = metadata
        state.log.reset(metadata.index, metadata.term)
        state.commit_index = self._handed_out = self.durable_index = metadata.index
        self._first_unsaved = metadata.index + 1
        self._configuration.reset(metadata.index, metadata.configuration)

    def compact(self, snapshot: SnapshotMetadata) -> None:
        """Compact the log up to a snapshot of this node, except for a tail (§7)."""
        state = self._state
        state.snapshot = snapshot
        self._configuration.compact(snapshot.index)
        keep_after = state.log.tail_base(snapshot.index, state.config.tail_entries_max, state.config.tail_bytes_max)
        if keep_after > state.log.base_index:
            state.log.compact(keep_after)

    def synced(self, entry: Entry) -> bool:
        """Note that the log is durable up to `entry`. Return False when the entry has been replaced since."""
        if self._state.log.term_at(entry.index) != entry.term:
            return False
        self.durable_index = max(self.durable_index, entry.index)
        return True

    def fill(self, ready: Ready) -> None:
        """Add what has to be written, and the committed entries that have to be applied."""
        state = self._state
        hard_state = HardState(state.current_term, state.voted_for)
        if hard_state != self._saved_hard_state:
            ready.hard_state = self._saved_hard_state = hard_state
            # A leader elected by its own vote alone could lead the same term again if it crashed before the sync.
            ready.messages += ready.early_messages
            ready.early_messages = []
        ready.entries = state.log.slice(self._first_unsaved, state.log.last_index + 1)
        self._first_unsaved = state.log.last_index + 1
        ready.committed = state.log.slice(self._handed_out + 1, state.commit_index + 1)
        self._handed_out = state.commit_index
