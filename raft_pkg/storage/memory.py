"""The persistent state of one node in memory, for the simulator and tests: a crash loses what was not synced."""

from collections.abc import Sequence

from raft_pkg.core.types import Entry, HardState
from raft_pkg.errors import StorageError
from raft_pkg.storage._state import LogState, check_append
from raft_pkg.storage.interface import Recovered


class MemoryStorage:
    """A disk and the storage on it in one: the object outlives the node, which recovers from it after each crash.

    Use: `recover`, then `append` and `sync` as with any storage; `crash` or `close`; `recover` again.
    """

    def __init__(self) -> None:
        self._synced = LogState()
        self._unsynced: list[HardState | Entry] = []  # records in the order in which they were appended
        self._hard_state = HardState()
        self._last_index = 0
        self._torn_bytes = 0
        self._unusable: str | None = "recover() has not been called"

    def recover(self) -> Recovered:
        """Read everything back. Called once after each crash or close, before anything else."""
        if self._unusable is None:
            raise StorageError("memory: recover() was called before")
        self._unusable = None
        torn_bytes, self._torn_bytes = self._torn_bytes, 0
        self._hard_state = self._synced.hard_state
        self._last_index = self._synced.last_index
        return Recovered(self._hard_state, list(self._synced.entries), torn_bytes)

    def append(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Write a new term and vote (None: unchanged) and entries; durable only after `sync`."""
        self._require_usable()
        self._last_index = check_append(self._hard_state, self._last_index, hard_state, entries)
        if hard_state is not None:
            self._hard_state = hard_state
            self._unsynced.append(hard_state)
        self._unsynced.extend(entries)

    def sync(self) -> None:
        """Make everything appended so far durable."""
        self._require_usable()
        self._persist(len(self._unsynced))

    def close(self) -> None:
        """Stop. As with a file, what was appended and not synced is there when nothing else happens. Idempotent."""
        if self._unusable is None:
            self.crash(survivors=len(self._unsynced))
            self._unusable = "the storage was closed"

    @property
    def unsynced(self) -> int:
        """How many records a crash can lose."""
        return len(self._unsynced)

    def crash(self, *, survivors: int = 0, torn_bytes: int = 0) -> None:
        """Stop at once. Of the records not synced, the first `survivors` are on disk all the same.

        `torn_bytes` is what recovery will report of the record after them.
        """
        if not 0 <= survivors <= len(self._unsynced):
            raise ValueError(f"{survivors} of {len(self._unsynced)} unsynced records can't survive")
        if torn_bytes and survivors == len(self._unsynced):
            raise ValueError("there is no record left that could be torn")
        self._persist(survivors)
        self._unsynced.clear()
        self._torn_bytes = torn_bytes
        self._unusable = "the node has crashed"

    def fail(self, what: str) -> None:
        """Make every later call raise StorageError, as after a failed sync; `crash` and `recover` bring it back."""
        self._unusable = what

    def _persist(self, count: int) -> None:
        for value in self._unsynced[:count]:
            problem = self._synced.apply(value)
            if problem is not None:
                raise StorageError(f"memory: {problem}")
        del self._unsynced[:count]

    def _require_usable(self) -> None:
        if self._unusable is not None:
            raise StorageError(f"memory: {self._unusable}")
