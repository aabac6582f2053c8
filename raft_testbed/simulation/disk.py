"""A machine's disk: what the storage wrote, what of it is synced, and what a crash leaves of the rest.

It takes the place of the operating system's calls under the real file form of the storage. A killed process loses
nothing of what its calls wrote, for the page cache outlives it; a power loss leaves any choice of the sectors that
were not synced, and any prefix of the names that were changed since the directory was synced.
"""

import errno
import os
from collections.abc import Callable, Sequence
from enum import Enum, auto
from pathlib import Path
from random import Random

from raft_pkg.storage import Filesystem

SECTOR_BYTES = 512
_SHORT_WRITE_CHANCE = 0.01
_SHORT_READ_CHANCE = 0.01


class Moment(Enum):
    """From which call on the calls up to a crash are counted, other than from now on."""

    SNAPSHOT_BEGUN = auto()
    """The file of the next snapshot is made."""
    SNAPSHOT_NAMED = auto()
    """The next snapshot gets its name."""
    SEGMENT_REMOVED = auto()
    """The next segment of the log is removed."""


class SimulatedCrash(BaseException):
    """The machine stops in the middle of a call; nothing of the program may catch it."""


class SimulatedFile:
    """Content as programs see it, and as the platter has it."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.synced = bytearray()
        self._unsynced: list[tuple[int, int]] = []
        self._truncated = False

    def write(self, data: bytes, offset: int) -> None:
        """Put data at a place; what lies between the end and it reads as zeros."""
        end = offset + len(data)
        if len(self.content) < offset:
            self.content.extend(bytes(offset - len(self.content)))
        self.content[offset:end] = data
        self._unsynced.append((offset, end))

    def truncate(self, size: int) -> None:
        """Cut off the end."""
        del self.content[size:]
        self._truncated = True

    def sync(self) -> None:
        """All of the content is on the platter."""
        if self._truncated:
            self.synced[:] = self.content
            self._truncated = False
        for start, end in self._unsynced:
            _put(self.synced, start, self.content[start:end])
        self._unsynced.clear()

    def fail_to_sync(self, survives: Callable[[], bool]) -> None:
        """Some of it is on the platter, and the system takes all for written: programs read it until it is evicted."""
        cached = self.content
        self.lose_power(survives)
        self.content = cached

    def evict(self) -> None:
        """The page cache holds nothing of the file but what is still to be written."""
        if not self._unsynced and not self._truncated:
            self.content = bytearray(self.synced)

    def lose_power(self, survives: Callable[[], bool]) -> None:
        """Each sector that was written and not synced is there or not, as `survives` says."""
        if self._truncated and survives():
            del self.synced[len(self.content) :]
        sectors = sorted(
            {s for start, end in self._unsynced for s in range(start // SECTOR_BYTES, -(-end // SECTOR_BYTES))}
        )
        for sector in sectors:
            if survives():
                start = sector * SECTOR_BYTES
                _put(self.synced, start, self.content[start : start + SECTOR_BYTES])
        self.content = bytearray(self.synced)
        self._unsynced.clear()
        self._truncated = False


def _put(target: bytearray, offset: int, data: bytes | bytearray) -> None:
    if len(target) < offset:
        target.extend(bytes(offset - len(target)))
    target[offset : offset + len(data)] = data


class SimulatedFilesystem(Filesystem):
    """The files of one machine. `on_sync` lets a sync take its time."""

    def __init__(self, rng: Random, on_sync: Callable[[], None]) -> None:
        self._rng = rng
        self._on_sync = on_sync
        self._names: dict[Path, SimulatedFile | None] = {Path("/"): None}  # None: a directory
        self._synced_names = dict(self._names)
        self._name_changes: list[dict[Path, SimulatedFile | None]] = []
        self._open: dict[int, SimulatedFile] = {}
        self._next_descriptor = 3
        self._calls_until_crash: int | None = None
        self._awaited: tuple[Moment, int] | None = None
        self._error: int | None = None
        self._calls_until_error = 0
        self._dead = False

    # --- what happens to it -------------------------------------------------------------------------------------

    def crash_after(self, calls: int | None, moment: Moment | None = None) -> None:
        """The machine stops in the middle of the call after so many from a moment (None: now) on; None: it does not."""
        if calls is None or moment is None:
            self._calls_until_crash, self._awaited = calls, None
        else:
            self._calls_until_crash, self._awaited = None, (moment, calls)

    def fail_after(self, calls: int, error: int) -> None:
        """Every write and sync after so many calls fails with an error number."""
        self._calls_until_error, self._error = calls, error

    @property
    def has_failed(self) -> bool:
        """Whether calls fail, or are about to."""
        return self._error is not None

    def stop(self, *, power_lost: bool) -> None:
        """The process is gone; after a power loss, what was not synced is a matter of rng."""
        if power_lost:
            survival = self._rng.choice((0.0, 0.5, 0.5, 1.0))
            self._names = dict(self._rng.choice([self._synced_names, *self._name_changes]))
            for file in self._names.values():
                if file is not None:
                    file.lose_power(lambda: self._rng.random() < survival)
            self._synced_names = dict(self._names)
            self._name_changes.clear()
        self._dead = True
        self._error = None
        self.crash_after(None)

    def heal(self) -> None:
        """Calls work again."""
        self._error = None

    def flip_bit(self, rng: Random) -> Callable[[], None]:
        """Change one bit of what was synced; returns what changes it back."""
        written = [file for _, file in self.files() if any(file.synced)]
        if not written:
            return lambda: None
        file = rng.choice(written)
        position = rng.randrange(len(file.synced.rstrip(b"\0")))
        mask = 1 << rng.randrange(8)

        def flip() -> None:
            for content in (file.synced, file.content):
                if position < len(content):
                    content[position] ^= mask

        flip()
        return flip

    def boot(self) -> None:
        """A new process begins."""
        self._open.clear()
        self._dead = False

    def files(self) -> list[tuple[Path, SimulatedFile]]:
        """Every file, in the order of their names."""
        return [(path, file) for path, file in sorted(self._names.items()) if file is not None]

    # --- what the storage calls ---------------------------------------------------------------------------------

    def make_directory(self, path: Path) -> None:
        self._call()
        if path in self._names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        if path.parent not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self._change_name(path, None)

    def list_directory(self, path: Path) -> list[str]:
        self._call()
        return [name.name for name in self._names if name.parent == path and name != path]

    def sync_directory(self, path: Path) -> None:
        self._call(may_fail=True)
        self._on_sync()
        children = {name: file for name, file in self._names.items() if name.parent == path}

        def with_children(names: dict[Path, SimulatedFile | None]) -> dict[Path, SimulatedFile | None]:
            return {**{name: file for name, file in names.items() if name.parent != path}, **children}

        self._synced_names = with_children(self._synced_names)
        self._name_changes = [names for names in map(with_children, self._name_changes) if names != self._synced_names]

    def read(self, path: Path, *, cached: bool = True) -> bytes:
        self._call()
        file = self._file(path)
        if not cached:
            file.evict()
        return bytes(file.content)

    def open_to_read(self, path: Path) -> int:
        return self.open(path)

    def size(self, descriptor: int) -> int:
        return len(self._open[descriptor].content)

    def read_at(self, descriptor: int, size: int, offset: int) -> bytes:
        self._call()
        if size > 1 and self._rng.random() < _SHORT_READ_CHANCE:
            size = self._rng.randint(1, size)
        return bytes(self._open[descriptor].content[offset : offset + size])

    def create(self, path: Path) -> int:
        if ".snapshot" in path.name:
            self._note(Moment.SNAPSHOT_BEGUN)
        self._call(may_fail=True)
        if path in self._names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        file = SimulatedFile()
        self._change_name(path, file)
        return self._descriptor(file)

    def open(self, path: Path) -> int:
        self._call()
        return self._descriptor(self._file(path))

    def write(self, descriptor: int, buffers: Sequence[bytes], offset: int) -> int:
        data = b"".join(buffers)
        file = self._open[descriptor]
        if self._is_due_to_crash():
            file.write(data[: self._rng.randint(0, len(data))], offset)
        self._call(may_fail=True)
        if len(data) > 1 and self._rng.random() < _SHORT_WRITE_CHANCE:
            data = data[: self._rng.randint(1, len(data))]
        file.write(data, offset)
        return len(data)

    def truncate(self, descriptor: int, size: int) -> None:
        self._call(may_fail=True)
        self._open[descriptor].truncate(size)

    def sync_data(self, descriptor: int) -> None:
        file = self._open[descriptor]
        if self._is_due_to_fail():
            file.fail_to_sync(lambda: self._rng.random() < 0.5)
        self._call(may_fail=True)
        self._on_sync()
        file.sync()

    def sync_file(self, descriptor: int) -> None:
        self.sync_data(descriptor)

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)

    def rename(self, source: Path, target: Path) -> None:
        if target.suffix == ".snapshot":
            self._note(Moment.SNAPSHOT_NAMED)
        self._call(may_fail=True)
        self._names[target] = self._file(source)
        self._change_name(source, None, remove=True)

    def remove(self, path: Path) -> None:
        if path.suffix == ".log":
            self._note(Moment.SEGMENT_REMOVED)
        self._call(may_fail=True)
        self._file(path)
        self._change_name(path, None, remove=True)

    def lock(self, path: Path) -> int:
        self._call()
        if path not in self._names:
            self._change_name(path, SimulatedFile())
        return self._descriptor(self._file(path))

    # --- inside -------------------------------------------------------------------------------------------------

    def _note(self, moment: Moment) -> None:
        if self._awaited is not None and self._awaited[0] is moment:
            self.crash_after(self._awaited[1])

    def _is_due_to_crash(self) -> bool:
        return self._calls_until_crash == 0 and not self._dead

    def _is_due_to_fail(self) -> bool:
        return self._error is not None and self._calls_until_error == 0 and not self._dead

    def _call(self, *, may_fail: bool = False) -> None:
        if self._dead:
            raise SimulatedCrash
        if self._calls_until_crash is not None:
            if self._calls_until_crash == 0:
                self._dead = True
                raise SimulatedCrash
            self._calls_until_crash -= 1
        if self._error is not None and may_fail:
            if self._calls_until_error == 0:
                raise OSError(self._error, os.strerror(self._error))
            self._calls_until_error -= 1

    def _file(self, path: Path) -> SimulatedFile:
        file = self._names.get(path)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return file

    def _descriptor(self, file: SimulatedFile) -> int:
        self._next_descriptor += 1
        self._open[self._next_descriptor] = file
        return self._next_descriptor

    def _change_name(self, path: Path, file: SimulatedFile | None, *, remove: bool = False) -> None:
        if remove:
            del self._names[path]
        else:
            self._names[path] = file
        self._name_changes.append(dict(self._names))
