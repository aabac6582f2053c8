"""Take, send, receive and restore snapshots (§7).

The state is captured at once and written in steps, one per iteration of the event loop, so that the node keeps serving
requests. An executor does the writes, one at a time, so that the loop does not wait for the disk.
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
"""Size of the chunks in which a snapshot is restored."""
OVERDUE_FACTOR = 4
"""While a snapshot is being sent to a follower, the next one is postponed until the log has grown to this multiple of
the limit; the transfer then starts over."""

Executor = Callable[[Callable[[], None]], "Future[None]"]
"""Runs a function in another thread, like `concurrent.futures.Executor.submit`."""


def inline(work: Callable[[], None]) -> "Future[None]":
    """Run a function in the calling thread; propagate its exception."""
    work()
    future: Future[None] = Future()
    future.set_result(None)
    return future


class Snapshots:
    """Connects core, storage and state machine. Only the event loop calls it."""

    def __init__(
        self,
        config: ServerConfig,
        storage: Storage,
        machine: SessionedMachine,
        executor: Executor = inline,
        written: Callable[[], None] = lambda: None,
    ) -> None:
        """`written` is called from any thread when a write ends."""
        self._config = config
        self._storage = storage
        self._machine = machine
        self._executor = executor
        self._written = written
        self._writing: Future[None] | None = None
        """The executor's write of the snapshot that is being taken."""
        self._writer: SnapshotWriter | None = None
        self._chunks: Iterator[bytes] | None = None
        """Remaining chunks of the snapshot that is being taken; None: none is."""
        self.captured_hash = ""
        """State hash of the newest snapshot captured by this node."""
        self._incoming: SnapshotWriter | None = None
        """Writer of the snapshot that is being received from the leader."""
        self._incoming_index = 0
        self._applied_bytes = 0
        """Bytes of the entries that were applied since the newest snapshot was captured."""

    @property
    def can_step(self) -> bool:
        """Whether a snapshot is being taken and its previous step is done."""
        return self._chunks is not None and (self._writing is None or self._writing.done())

    def wait_for_write(self) -> None:
        """Wait for the executor's current write."""
        if self._writing is not None:
            wait([self._writing])

    def applied(self, entry_bytes: int) -> None:
        """Count the bytes of an applied entry."""
        self._applied_bytes += entry_bytes

    def recover(self, metadata: SnapshotMetadata) -> None:
        """Restore the state machine from the storage's snapshot. Raise `CorruptLogError`."""
        try:
            self._machine.restore(self._read(metadata))
        except ValueError as error:
            raise CorruptLogError(
                f"{self._config.data_dir}: can't restore the snapshot of index {metadata.index}: {error}"
            ) from None

    # --- taking -----------------------------------------------------------------------------------------------------

    def step(self, raft: Raft, applied_index: int) -> SnapshotMetadata | None:
        """Start a snapshot if one is due, or continue the one in progress; return it when it is on disk."""
        if self._incoming is not None and applied_index >= self._incoming_index:
            self._discard()  # the entries that it replaces have arrived before its last chunk
        if self._chunks is None:
            if self._incoming is not None or not self._is_due(raft, applied_index):
                return None
            self._begin(raft, applied_index)
        return self._write_some() if self.can_step else None

    def _is_due(self, raft: Raft, applied_index: int) -> bool:
        """Return whether enough was applied: by entries, or by bytes, which must exceed the snapshot's size (§7)."""
        newest = raft.snapshot
        entries = applied_index - (newest.index if newest else 0)
        bytes_max = max(self._config.snapshot_bytes, newest.size if newest else 0)
        growth = max(entries / self._config.snapshot_entries, self._applied_bytes / bytes_max)
        return growth >= (OVERDUE_FACTOR if raft.is_sending_snapshot() else 1)

    def _begin(self, raft: Raft, applied_index: int) -> None:
        term = raft.log.term_at(applied_index)
        if term is None:
            raise InvariantError(f"{raft.node_id} has applied entry {applied_index}, but its log has lost it")
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

    # --- sending and receiving --------------------------------------------------------------------------------------

    def fill(self, message: Message, body: InstallSnapshot, bytes_max: int) -> Message:
        """Return the message with the chunk of the newest snapshot that starts at its offset."""
        return replace(message, body=replace(body, data=self._storage.read_snapshot(body.offset, bytes_max)))

    def keep(self, chunk: SnapshotChunk) -> SnapshotMetadata | None:
        """Write a received chunk; after the last one, restore the state machine and return the snapshot."""
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
            raise InvariantError(f"the snapshot of index {metadata.index} is {written} on disk, not {metadata}")
        self._applied_bytes = 0
        self.recover(metadata)
        return metadata

    def _discard(self) -> None:
        """Discard every unfinished snapshot: the leader's new one is newer."""
        self.wait_for_write()
        self._writing = None
        for writer in (self._writer, self._incoming):
            if writer is not None:
                writer.discard()
        self._writer = self._chunks = self._incoming = None

    def _read(self, metadata: SnapshotMetadata) -> Iterator[bytes]:
        return (self._storage.read_snapshot(at, RESTORE_BYTES) for at in range(0, metadata.size, RESTORE_BYTES))
