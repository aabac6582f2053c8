"""The replicated state machine: apply committed entries, answer queries, publish the state hash."""

from raft_pkg.core.raft import Raft
from raft_pkg.core.types import Entry, EntryKind, SnapshotMetadata
from raft_pkg.events import Event, EventLog
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.server.applied import Applied
from raft_pkg.server.sessions import SessionedMachine
from raft_pkg.server.state_hash import IDLE_SECONDS, STATE_HASH_INTERVAL


class Applier:
    """Owns the applied index and decides at which indexes the state hash is logged."""

    def __init__(self, raft: Raft, machine: SessionedMachine, log: EventLog) -> None:
        """`machine` holds the state at the core's commit index: that of the recovered snapshot, or the empty state."""
        self.index = raft.commit_index
        """Index of the newest entry that was applied."""
        self._raft = raft
        self._machine = machine
        self._log = log
        self._published_index = 0
        """Index of the newest state hash that was logged."""
        self._idle_index = 0
        self._idle_since = 0.0
        """Time since which `index` has been `_idle_index`."""

    @property
    def state_hash(self) -> str:
        """Hexadecimal digest of all applied entries and their results; equal on nodes with equal applied indexes."""
        return str(self._machine.state_hash)

    def apply(self, entry: Entry) -> tuple[list[Applied], int]:
        """Apply a committed entry; return the result of each command, and the session it opened (0: none)."""
        applied, session_id = self._apply_to_machine(entry)
        self._machine.state_hash.add(entry, session_id, applied)
        self.index = entry.index
        if entry.index % STATE_HASH_INTERVAL == 0:
            self.publish_state_hash(entry.index, self.state_hash)
        return applied, session_id

    def query(self, query: bytes) -> bytes:
        """Answer a read from the applied state."""
        return self._machine.query(query)

    def snapshot_installed(self, snapshot: SnapshotMetadata) -> None:
        """Continue from a leader's snapshot, which the state machine has been restored from."""
        self.index = snapshot.index
        self._log.emit(Event.SNAPSHOT_INSTALLED, self._raft.current_term, index=snapshot.index, bytes=snapshot.size)

    def publish_when_idle(self, now: float) -> None:
        """Log the state hash once nothing has been applied for a while: all nodes come to rest at the same index."""
        if self.index != self._idle_index:
            self._idle_index, self._idle_since = self.index, now
        elif self.index > self._published_index and now - self._idle_since >= IDLE_SECONDS:
            self.publish_state_hash(self.index, self.state_hash)

    def publish_state_hash(self, index: int, state_hash: str) -> None:
        """Log the state hash at `index`."""
        self._published_index = index
        self._log.emit(Event.STATE_HASH, self._raft.current_term, applied_index=index, hash=state_hash)

    def _apply_to_machine(self, entry: Entry) -> tuple[list[Applied], int]:
        match entry.kind:
            case EntryKind.COMMANDS:
                return self._machine.apply(pb.CommandEntry.FromString(entry.data), entry.index), 0
            case EntryKind.OPEN_SESSION:
                session_id = self._machine.open_session(pb.OpenSession.FromString(entry.data))
                return [Applied(b"", entry.index)], session_id
        return [], 0
