"""A node's snapshots: when one is taken, chunk by chunk between the turns; what a leader sends, and what comes in (§7).

A snapshot is captured at once and written over many turns, each of which adds one step: the service goes on. What takes
the disk's time is done `executor`, one chunk at a time, so that the loop does not wait for it.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import replace
from functools import partial

from raft_pkg.core.errors import InvariantError
from raft_pkg.core.messages import InstallSnapshot, Message
from raft_pkg.core.raft import Raft
from raft_pkg.core.ready import SnapshotChunk
from raft_pkg.core.types import SnapshotMetadata
from raft_pkg.errors import CorruptLogError
from raft_pkg.server.config import ServerConfig
from raft_pkg.server.sessions import SessionedMachine
from raft_pkg.storage.interface import SnapshotWriter, Storage

RESTORE_BYTES = 1024 * 1024
"""A snapshot is read back in chunks of so many bytes."""
OVERDUE = 4
"""When the log has grown to so many times what calls for a snapshot, one is taken even if a follower is being sent the
one before, and must begin anew."""


Executor = Callable[[Callable[[], None]], "Future[None]"]
"""Does something in another thread; the future tells the end."""


def inline(work: Callable[[], None]) -> "Future[None]":
    """The same, here and now: what it raises is raised."""
    work()
    future: Future[None] = Future()
    future.set_result(None)
    return future


class Snapshots:
    """Between core, storage and state machine; called by the node's loop alone."""

    def __init__(
        self,
        config: ServerConfig,
        storage: Storage,
        machine: SessionedMachine,
        executor: Executor = inline,
        written: Callable[[], None] = lambda: None,
    ) -> None:
        """`written` is called, from any thread, whenever a piece is on disk."""
        self._config = config
        self._storage = storage
        self._machine = machine
        self._executor = executor
        self._written = written
        self._writing: Future[None] | None = None
        """What is being written executor of the snapshot that is being taken."""
        self._writer: SnapshotWriter | None = None
        self._chunks: Iterator[bytes] | None = None
        """What is still to be written of the snapshot that is being taken; None: none is."""
        self.captured_hash = ""
        """The state hash of the newest snapshot that was begun here."""
        self._incoming: SnapshotWriter | None = None
        self._incoming_index = 0
        self._applied_bytes = 0
        """Data of the entries that were applied since the newest snapshot was captured."""

    @property
    def can_step(self) -> bool:
        """Whether there is a next step of a snapshot that is being taken: the one before is done."""
        return self._chunks is not None and (self._writing is None or self._writing.done())

    def wait_for_write(self) -> None:
        """Wait until nothing is being written executor."""
        if self._writing is not None:
            wait([self._writing])

    def applied(self, entry_bytes: int) -> None:
        """An entry with so many bytes of data was applied."""
        self._applied_bytes += entry_bytes

    def recover(self, metadata: SnapshotMetadata) -> None:
        """Put the state machine into the state of the storage's snapshot. Raises `CorruptLogError`."""
        try:
            self._machine.restore(self._read(metadata))
        except ValueError as error:
            raise CorruptLogError(
                f"{self._config.data_dir}: the state machine can't read its snapshot of index {metadata.index}: {error}"
            ) from None

    # --- taking one -----------------------------------------------------------------------------------------------

    def step(self, raft: Raft, applied_index: int) -> SnapshotMetadata | None:
        """Begin a snapshot if it is time, or go on with it; returns it when it is on disk."""
        if self._incoming is not None and applied_index >= self._incoming_index:
            self._discard()  # the entries that it stands for came before its last chunk
        if self._chunks is None:
            if self._incoming is not None or not self._is_due(raft, applied_index):
                return None
            self._begin(raft, applied_index)
        return self._write_some() if self.can_step else None

    def _is_due(self, raft: Raft, applied_index: int) -> bool:
        """By number of entries, or by their bytes, which at least repay those of the snapshot (§7)."""
        newest = raft.snapshot
        entries = applied_index - (newest.index if newest else 0)
        bytes_max = max(self._config.snapshot_bytes, newest.size if newest else 0)
        growth = max(entries / self._config.snapshot_entries, self._applied_bytes / bytes_max)
        return growth >= (OVERDUE if raft.is_sending_snapshot() else 1)

    def _begin(self, raft: Raft, applied_index: int) -> None:
        term = raft.log.term_at(applied_index)
        if term is None:
            raise InvariantError(f"{raft.node_id} has applied entry {applied_index}, and has it no longer")
        self._chunks = self._machine.snapshot()
        self.captured_hash = str(self._machine.state_hash)
        self._applied_bytes = 0
        self._writer = self._storage.begin_snapshot(applied_index, term, raft.configuration_at(applied_index))

    def _write_some(self) -> SnapshotMetadata | None:
        assert self._writer is not None
        assert self._chunks is not None
        if self._writing is not None:
            self._writing.result()
        step, size = [], 0
        for chunk in self._chunks:
            step.append(chunk)
            size += len(chunk)
            if size >= self._config.snapshot_step_bytes:
                break
        if step:
            self._writing = self._executor(partial(self._writer.write, b"".join(step)))
            self._writing.add_done_callback(lambda _writing: self._written())
        if size >= self._config.snapshot_step_bytes or not self.can_step:
            return None
        self._writing = None
        metadata = self._writer.commit()
        self._writer = self._chunks = None
        return metadata

    # --- sending and receiving one ----------------------------------------------------------------------------------

    def fill(self, message: Message, body: InstallSnapshot, bytes_max: int) -> Message:
        """The message, with the data that it is to carry."""
        return replace(message, body=replace(body, data=self._storage.read_snapshot(body.offset, bytes_max)))

    def keep(self, chunk: SnapshotChunk) -> SnapshotMetadata | None:
        """Write a piece that has come; with the last one, restore the state machine and return the snapshot."""
        metadata = chunk.metadata
        if chunk.offset == 0:
            self._discard()
            self._incoming_index = metadata.index
            self._incoming = self._storage.begin_snapshot(metadata.index, metadata.term, metadata.configuration)
        assert self._incoming is not None
        self._incoming.write(chunk.data)
        if not chunk.is_last:
            return None
        written, self._incoming = self._incoming.commit(), None
        if written != metadata:
            raise InvariantError(f"the snapshot of index {metadata.index} is on disk as {written}, not as {metadata}")
        self._applied_bytes = 0
        self.recover(metadata)
        return metadata

    def _discard(self) -> None:
        """What comes from the leader is newer than what is being taken here, or than what came before."""
        self.wait_for_write()
        self._writing = None
        for writer in (self._writer, self._incoming):
            if writer is not None:
                writer.discard()
        self._writer = self._chunks = self._incoming = None

    def _read(self, metadata: SnapshotMetadata) -> Iterator[bytes]:
        return (self._storage.read_snapshot(at, RESTORE_BYTES) for at in range(0, metadata.size, RESTORE_BYTES))
