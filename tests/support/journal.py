"""The order of what real nodes do, and the safety checks of each message and application at its time.

Wraps the storage, transport and state machine of real nodes. A message or an application that rests on something that
is not durable raises `Violation` immediately.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.messages import AppendEntries, InstallSnapshotReply, Message
from raft_pkg.core.raft import Raft
from raft_pkg.core.types import Entry, HardState, SnapshotMetadata
from raft_pkg.kv import KeyValueStore
from raft_pkg.server.node import Transport
from raft_pkg.storage import SnapshotWriter, Storage
from raft_testbed.simulation.probes import CheckedStorage
from raft_testbed.simulation.safety import Observation, SafetyChecker


class Journal:
    """The actions of all nodes of a cluster, and its safety checker."""

    def __init__(self) -> None:
        self.checker = SafetyChecker(lambda _entry: ())
        self.actions: list[tuple[str, str]] = []
        """Node and action: write, sync, apply, snapshot (a chunk of one), or the type of a message sent."""
        self.checked: Counter[str] = Counter()
        """Number of messages checked, by type; `commit`: of applications, and messages with a commit index."""

        self.is_checking = True
        """False after a test has forged a message or corrupted a state machine."""

    def of(self, node_id: str) -> list[str]:
        """Return the actions of one node."""
        return [action for node, action in self.actions if node == node_id]

    def add(self, node_id: str, action: str) -> None:
        """Add one action."""
        self.actions.append((node_id, action))


class JournaledNode:
    """The parts that a node is built of. `raft` is its core; set it when the node exists."""

    def __init__(self, node_id: str, storage: Storage, transport: Transport, journal: Journal) -> None:
        self.raft: Raft | None = None
        self.storage = JournaledStorage(node_id, storage, journal)
        self.transport = JournaledTransport(transport, journal, self.check)
        self.store = JournaledStore(node_id, journal, self.check)
        self._journal = journal

    def check(self) -> None:
        """Check the node's present state, within an iteration."""
        if self.raft is not None and self._journal.is_checking:
            self._journal.checker.step_ended(Observation.of(self.raft, 0, 0, ""))
            self.storage.check_snapshots()


class JournaledStorage(CheckedStorage):
    """A checked storage whose calls are in the journal."""

    def __init__(self, node_id: str, storage: Storage, journal: Journal) -> None:
        super().__init__(node_id, storage, journal.checker)
        self._journal = journal

    def append(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        super().append(hard_state, entries)
        self._journal.add(self._node, "write")

    def sync(self) -> None:
        super().sync()
        self._journal.add(self._node, "sync")

    def begin_snapshot(self, index: int, term: int, configuration: Configuration) -> SnapshotWriter:
        writer = super().begin_snapshot(index, term, configuration)
        return JournaledWriter(writer, lambda: self._journal.add(self._node, "snapshot"))


class JournaledWriter:
    """A snapshot writer that reports each write."""

    def __init__(self, writer: SnapshotWriter, on_write: Callable[[], None]) -> None:
        self._writer, self._on_write = writer, on_write
        self.discard = writer.discard

    @property
    def size(self) -> int:
        return self._writer.size

    def write(self, data: bytes) -> None:
        self._writer.write(data)
        self._on_write()

    def commit(self) -> SnapshotMetadata:
        return self._writer.commit()


class JournaledTransport:
    """A transport whose messages are checked and in the journal."""

    def __init__(self, transport: Transport, journal: Journal, check: Callable[[], None]) -> None:
        self._transport, self._journal, self._check = transport, journal, check
        self.update_peers, self.add_remote = transport.update_peers, transport.add_remote

    def send(self, messages: Iterable[Message]) -> None:
        messages = list(messages)
        if messages:
            self._check()
        for message in messages:
            if self._journal.is_checking:
                self._journal.checker.message_sent(message)
            name = type(message.body).__name__
            self._journal.add(message.sender, name)
            if not isinstance(message.body, InstallSnapshotReply) or message.body.next_offset:
                self._journal.checked[name] += 1
            if isinstance(message.body, AppendEntries) and message.body.leader_commit:
                self._journal.checked["commit"] += 1
        self._transport.send(messages)


class JournaledStore(KeyValueStore):
    """A key-value store whose node is checked before each application."""

    def __init__(self, node_id: str, journal: Journal, check: Callable[[], None]) -> None:
        super().__init__()
        self._node_id, self._journal, self._check = node_id, journal, check

    def apply(self, commands: Sequence[bytes]) -> list[bytes]:
        self._check()
        self._journal.checked["commit"] += 1
        self._journal.add(self._node_id, "apply")
        return super().apply(commands)
