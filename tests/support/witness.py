"""What each node of a cluster has on its disk, kept beside the real disks, and a check of every promise it makes.

Wraps the storage and the transport of real nodes, and is their state machine. A message or an application that rests on
something not yet synced raises `BrokenPromiseError` at once.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshotReply,
    Message,
    RequestVote,
    RequestVoteReply,
)
from raft_pkg.core.types import Entry, HardState, SnapshotMetadata
from raft_pkg.kv import KeyValueStore
from raft_pkg.server.node import Transport
from raft_pkg.storage import Recovered, SnapshotWriter, Storage


class BrokenPromiseError(AssertionError):
    """Something left a node before it was on disk."""


@dataclass(slots=True)
class Disk:
    """One node's disk as the calls to its storage leave it: what was written, and what of it was synced.

    A snapshot counts as the entries that it stands for.
    """

    written_state: HardState = field(default_factory=HardState)
    written: list[Entry] = field(default_factory=list)
    state: HardState = field(default_factory=HardState)
    entries: list[Entry] = field(default_factory=list)
    snapshot_bytes: dict[int, int] = field(default_factory=dict)
    """By the index of each snapshot that is being written: how much of it is there."""

    def write(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        self.written_state = hard_state or self.written_state
        if entries:
            self.written[entries[0].index - 1 :] = entries

    def sync(self) -> None:
        self.state, self.entries = self.written_state, list(self.written)

    def install(self, stands_for: list[Entry]) -> None:
        """A snapshot is there; the log goes on after it only where it has the snapshot's last entry."""
        index = len(stands_for)
        if self.written[index - 1 : index] != stands_for[-1:]:
            self.written.clear()
        self.written[:index] = stands_for
        self.sync()

    def has(self, entry: Entry) -> bool:
        return self.entries[entry.index - 1 : entry.index] == [entry]


class Witness:
    """Sees every write, sync, send and application of all nodes of a cluster, in their order."""

    def __init__(self, voters: Sequence[str]) -> None:
        self.voters = tuple(voters)
        """Those that the cluster began with; a majority of them is part of every quorum that the tests make."""
        self.disks: defaultdict[str, Disk] = defaultdict(Disk)
        self.seen: list[tuple[str, str]] = []
        """Node and what it did: write, sync, apply, or the name of a message's body that it sent."""
        self.promises: Counter[str] = Counter()
        self._committed: list[Entry] = []

    def wrote(self, node_id: str, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        self.seen.append((node_id, "write"))
        self.disks[node_id].write(hard_state, entries)

    def synced(self, node_id: str) -> None:
        self.seen.append((node_id, "sync"))
        self.disks[node_id].sync()

    def wrote_snapshot(self, node_id: str, index: int, data: bytes) -> None:
        """A chunk of a snapshot is on disk."""
        self.seen.append((node_id, "snapshot"))
        sizes = self.disks[node_id].snapshot_bytes
        sizes[index] = sizes.get(index, 0) + len(data)

    def has_snapshot(self, node_id: str, index: int) -> None:
        """A snapshot counts from now on: check that all it stands for is committed."""
        if len(self._committed) < index:
            self._require_committed(node_id, self.disks[node_id].written[index - 1])
        self.disks[node_id].install(self._committed[:index])

    def recovered(self, node_id: str, recovered: Recovered) -> None:
        """A node has read its disk; what its log no longer has it had once."""
        compacted = self.disks[node_id].entries[: recovered.base_index]
        disk = self.disks[node_id] = Disk(recovered.hard_state, compacted + recovered.entries)
        disk.sync()

    def sends(self, message: Message) -> None:
        """Check what the message promises, against what its sender has on disk."""
        body = message.body
        self.seen.append((message.sender, type(body).__name__))
        disk = self.disks[message.sender]
        self._require(disk.state.current_term >= message.term, message, "its term")
        newer = disk.state.current_term > message.term  # this turn went on to a newer term, which keeps the promise
        match body:
            case RequestVote():
                self._require(newer or disk.state.voted_for == message.sender, message, "its vote for itself")
            case RequestVoteReply(vote_granted=True):
                self._require(newer or disk.state.voted_for == message.recipient, message, "its vote")
            case AppendEntriesReply(success=True, match_index=match_index):
                held = disk.entries[:match_index]
                self._require(newer or len(held) == match_index, message, f"entries up to {match_index}")
                self._require(newer or held == disk.written[:match_index], message, f"entries up to {match_index}")
            case InstallSnapshotReply(index=index, next_offset=next_offset) if next_offset:
                kept = disk.snapshot_bytes.get(index, 0) >= next_offset or len(disk.entries) >= index
                self._require(kept, message, "so much of the snapshot")
            case AppendEntries(leader_commit=leader_commit) if leader_commit:
                self._require_committed(message.sender, disk.written[leader_commit - 1])

    def applies(self, node_id: str, entry: Entry) -> None:
        """Check that the entry is on a majority of disks."""
        self.seen.append((node_id, "apply"))
        self._require_committed(node_id, entry)

    def of(self, node_id: str) -> list[str]:
        """What one node did."""
        return [what for who, what in self.seen if who == node_id]

    def _require(self, holds: bool, message: Message, what: str) -> None:
        self.promises[f"{type(message.body).__name__}: {what.partition(' up to')[0]}"] += 1
        if not holds:
            raise BrokenPromiseError(f"{message} left {message.sender} before {what} was on its disk")

    def _require_committed(self, node_id: str, entry: Entry) -> None:
        self.promises["committed entry"] += 1
        holders = [voter for voter in self.voters if self.disks[voter].has(entry)]
        if 2 * len(holders) <= len(self.voters):
            raise BrokenPromiseError(f"{node_id} takes {entry} for committed, and only {holders} have it on disk")
        if len(self._committed) < entry.index:
            self._committed = self.disks[node_id].written[: entry.index]


class WitnessedSnapshot:
    """A snapshot's writer whose calls a witness sees."""

    def __init__(self, node_id: str, index: int, writer: SnapshotWriter, witness: Witness) -> None:
        self._node_id, self._index, self._writer, self._witness = node_id, index, writer, witness

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def write(self, data: bytes) -> None:
        self._writer.write(data)
        self._witness.wrote_snapshot(self._node_id, self._index, data)

    def commit(self) -> SnapshotMetadata:
        metadata = self._writer.commit()
        self._witness.has_snapshot(self._node_id, self._index)
        return metadata


class WitnessedStorage:
    """A storage whose calls a witness sees."""

    def __init__(self, node_id: str, storage: Storage, witness: Witness) -> None:
        self._node_id, self._storage, self._witness = node_id, storage, witness

    def recover(self) -> Recovered:
        recovered = self._storage.recover()
        self._witness.recovered(self._node_id, recovered)
        return recovered

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def append(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        self._storage.append(hard_state, entries)
        self._witness.wrote(self._node_id, hard_state, entries)

    def sync(self) -> None:
        self._storage.sync()
        self._witness.synced(self._node_id)

    def begin_snapshot(self, index: int, term: int, configuration: Configuration) -> WitnessedSnapshot:
        self._witness.disks[self._node_id].snapshot_bytes.pop(index, None)
        writer = self._storage.begin_snapshot(index, term, configuration)
        return WitnessedSnapshot(self._node_id, index, writer, self._witness)


class WitnessedTransport:
    """A transport whose messages a witness sees, as they leave."""

    def __init__(self, transport: Transport, witness: Witness) -> None:
        self._transport, self._witness = transport, witness
        self.update_peers, self.add_remote = transport.update_peers, transport.add_remote

    def send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._witness.sends(message)
        self._transport.send(messages)


class WitnessedStore(KeyValueStore):
    """A key-value store whose applications a witness sees."""

    def __init__(self, node_id: str, witness: Witness, next_entry: Callable[[], Entry]) -> None:
        super().__init__()
        self._node_id, self._witness, self._next_entry = node_id, witness, next_entry

    def apply(self, commands: Sequence[bytes]) -> list[bytes]:
        self._witness.applies(self._node_id, self._next_entry())
        return super().apply(commands)
