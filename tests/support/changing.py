"""A cluster in memory whose members join, leave, lose their disks, and take snapshots.

Unlike those of `Cluster`, its nodes start with empty disks and bootstrap peers. The state machine is the sequence of
applied entries, and a snapshot is that sequence as JSON.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import count
from random import Random

from raft_pkg.core.config import RaftConfig
from raft_pkg.core.configuration import Configuration
from raft_pkg.core.membership import Change
from raft_pkg.core.messages import InstallSnapshot, Message
from raft_pkg.core.raft import Raft
from raft_pkg.core.ready import Ready, SnapshotChunk
from raft_pkg.core.types import Entry, EntryKind
from raft_pkg.storage import MemoryStorage
from raft_pkg.storage.interface import SnapshotWriter
from tests.support.cluster import Cluster, Member
from tests.support.core import CONFIG


def address_of(node_id: str) -> str:
    """Return the address of a node."""
    return f"{node_id}:6000"


def encode_state(applied: Iterable[Entry]) -> bytes:
    """Return a snapshot of the state machine."""
    return json.dumps([[entry.index, entry.term, int(entry.kind), entry.data.decode()] for entry in applied]).encode()


def decode_state(data: bytes) -> list[Entry]:
    """Reverse `encode_state`."""
    return [Entry(index, term, EntryKind(kind), text.encode()) for index, term, kind, text in json.loads(data)]


class ChangingCluster(Cluster):
    """Nodes by name, each with its own disk and incarnation."""

    def __init__(self, nodes: Iterable[str] = "abc", *, seed: int = 0, config: RaftConfig = CONFIG) -> None:
        super().__init__((), seed=seed, config=config)
        self.bootstrap_peers: dict[str, Mapping[str, str]] = {}
        self.initial_configurations: dict[str, Configuration] = {}
        """Initial configurations that are not in the nodes' logs, as long as the nodes keep their disks."""
        self.incoming: dict[str, SnapshotWriter] = {}
        self.installed = 0
        """Number of snapshots that followers have installed."""
        self._incarnations = count(1)
        together = tuple(nodes)
        for node_id in together:
            self.add(node_id, peers=together)

    # --- nodes ------------------------------------------------------------------------------------------------------

    def add(self, node_id: str, peers: Iterable[str], *, start: bool = True) -> None:
        """Add a node with an empty disk and these bootstrap peers; it is not a member yet."""
        self.bootstrap_peers[node_id] = {peer: address_of(peer) for peer in sorted({*peers, node_id})}
        self.members[node_id] = self.member(node_id, self._empty_disk())
        self.voters = tuple(self.members)
        if start:
            self.start(node_id)

    def _empty_disk(self) -> MemoryStorage:
        return MemoryStorage(new_incarnation=self._incarnations.__next__)

    def start(self, node_id: str) -> None:
        """Start a node from its disk."""
        member = self.members[node_id]
        recovered = member.storage.recover()
        snapshot = recovered.snapshot
        member.restore(() if snapshot is None else decode_state(member.storage.read_snapshot(0, snapshot.size)))
        member.last_written = max(recovered.base_index + len(recovered.entries), len(member.applied))
        member.raft = Raft(
            node_id,
            self.initial_configurations.get(node_id, Configuration()),
            config=self.config,
            random=Random(self.random.random()),
            now=self.now,
            incarnation=recovered.incarnation,
            hard_state=recovered.hard_state,
            entries=recovered.entries,
            base=(recovered.base_index, recovered.base_term),
            snapshot=snapshot,
            peers=self.bootstrap_peers[node_id],
        )

    def crash(self, node_id: str, *, survivors: int = 0) -> None:
        """Crash as in `Cluster`; a partly received snapshot is lost."""
        self.incoming.pop(node_id, None)
        super().crash(node_id, survivors=survivors)

    def wipe(self, node_id: str) -> None:
        """Replace a node's disk by an empty one; the node is not running afterwards."""
        if self.members[node_id].raft is not None:
            self.crash(node_id)
        self.checker.disk_lost(node_id)
        self.members[node_id] = self.member(node_id, self._empty_disk())
        self.initial_configurations.pop(node_id, None)

    def write(self, node_id: str) -> Ready | None:
        """Write as in `Cluster`, with the chunks of snapshots that are received and sent."""
        raft, member = self[node_id], self.members[node_id]
        ready = raft.take_ready()
        ready.addresses = None
        if ready == Ready():
            self.check(node_id)
            return None
        if ready.chunks:
            member.storage.append(ready.hard_state, ())
            member.storage.sync()
            for chunk in ready.chunks:
                self._store_chunk(member, chunk)
        if ready.entries:
            member.last_written = ready.entries[-1].index
        member.storage.append(None if ready.chunks else ready.hard_state, ready.entries)
        self.send(ready.early_messages)
        self.send(self._filled(member, message, body) for message, body in ready.snapshot_messages)
        return ready

    def _store_chunk(self, member: Member, chunk: SnapshotChunk) -> None:
        metadata = chunk.metadata
        if chunk.offset == 0:
            if member.node_id in self.incoming:
                self.incoming.pop(member.node_id).discard()
            writer = member.storage.begin_snapshot(metadata.index, metadata.term, metadata.configuration)
            self.incoming[member.node_id] = writer
        self.incoming[member.node_id].write(chunk.data)
        if chunk.is_last:
            assert self.incoming.pop(member.node_id).commit() == metadata
            member.restore(decode_state(member.storage.read_snapshot(0, metadata.size)))
            self.installed += 1
            member.last_written = metadata.index

    def _filled(self, member: Member, message: Message, body: InstallSnapshot) -> Message:
        data = member.storage.read_snapshot(body.offset, self.config.snapshot_chunk_bytes)
        return replace(message, body=replace(body, data=data))

    def snapshot(self, node_id: str) -> None:
        """Take a snapshot of a node's state, and compact its log."""
        raft, member = self[node_id], self.members[node_id]
        index = len(member.applied)
        if index <= (raft.snapshot.index if raft.snapshot else 0) or node_id in self.incoming:
            return
        term = raft.log.term_at(index)
        assert term is not None
        writer = member.storage.begin_snapshot(index, term, raft.configuration_at(index))
        writer.write(encode_state(member.applied))
        raft.snapshot_taken(writer.commit())
        member.storage.compact(raft.log.base_index)
        self.check(node_id)

    # --- the network ------------------------------------------------------------------------------------------------

    def change(self, node_id: str, change: Change) -> None:
        """Request a membership change from a leader."""
        self[node_id].change_members(change, self.now)
        self.carry_out(node_id)
