"""A simulated disk: what was written, what of it is synced, and what a crash leaves of the rest.

`SimulatedDisk` replaces the operating system's calls under the real `FileStorage`. When a process is killed, everything
that its calls wrote remains, since the page cache outlives the process. A power loss keeps any subset of the unsynced
sectors, and any prefix of the changes to names since their directory was synced.

`FaultyDisk` adds seeded faults: crashes in the middle of a call, failing calls, and short reads and writes.
"""

import errno
import os
from collections.abc import Callable, Sequence
from enum import Enum, auto
from pathlib import Path
from random import Random

from raft_pkg.storage import Filesystem

SECTOR_BYTES = 512
_SHORT_WRITE_PROBABILITY = 0.01
_SHORT_READ_PROBABILITY = 0.01

Names = dict[Path, "SimulatedFile | None"]
"""Files by path; None stands for a directory."""


class Moment(Enum):
    """The call from which the calls up to a crash are counted, unless they are counted from now on."""

    SNAPSHOT_BEGUN = auto()
    """The file of the next snapshot is created."""
    SNAPSHOT_NAMED = auto()
    """The next snapshot is renamed to its final name."""
    SEGMENT_REMOVED = auto()
    """The next segment of the log is removed."""


class SimulatedCrash(BaseException):
    """The machine stops in the middle of a call. Not an `Exception`, so that no handler of the program catches it."""


class SimulatedFile:
    """One file: its content as programs read it, and as it is on disk."""

    def __init__(self, data: bytes = b"") -> None:
        self.content = bytearray(data)
        self.synced = bytearray(data)
        self._unsynced: list[tuple[int, int]] = []
        self._truncated = False

    def write(self, data: bytes, offset: int) -> None:
        """Write at an offset; a gap between the end of the file and the offset reads as zeros."""
        end = offset + len(data)
        if len(self.content) < offset:
            self.content.extend(bytes(offset - len(self.content)))
        self.content[offset:end] = data
        self._unsynced.append((offset, end))

    def truncate(self, size: int) -> None:
        """Discard the content from `size` on."""
        del self.content[size:]
        self._truncated = True

    def sync(self) -> None:
        """Make the content durable."""
        if self._truncated:
            self.synced[:] = self.content
            self._truncated = False
        for start, end in self._unsynced:
            _put(self.synced, start, self.content[start:end])
        self._unsynced.clear()

    def fail_to_sync(self, survives: Callable[[], bool]) -> None:
        """Make some sectors durable. Programs read all of the content until the page cache is evicted, as on Linux."""
        cached = self.content
        self.lose_power(survives)
        self.content = cached

    def evict(self) -> None:
        """Drop the page cache of the file, except for content that is still to be written."""
        if not self._unsynced and not self._truncated:
            self.content = bytearray(self.synced)

    def lose_power(self, survives: Callable[[], bool]) -> None:
        """Keep what was synced, and each unsynced sector for which `survives` returns true."""
        if self._truncated and survives():
            del self.synced[len(self.content) :]
        sectors = sorted(
            {s for start, end in self._unsynced for s in range(start // SECTOR_BYTES, -(-end // SECTOR_BYTES))}
        )
        for sector in sectors:
            if survives():
                start = sector * SECTOR_BYTES
                _put(self.synced, start, self.content[start : start + SECTOR_BYTES])
        self.replace(self.synced)

    def replace(self, content: bytes | bytearray) -> None:
        """Replace the content, durably."""
        self.content, self.synced = bytearray(content), bytearray(content)
        self._unsynced.clear()
        self._truncated = False


def _put(target: bytearray, offset: int, data: bytes | bytearray) -> None:
    if len(target) < offset:
        target.extend(bytes(offset - len(target)))
    target[offset : offset + len(data)] = data


class SimulatedDisk(Filesystem):
    """The files of one machine. Subclasses decide which calls fail, and how much of a write or a read is done."""

    def __init__(self) -> None:
        self.names: Names = {Path("/"): None}
        self._synced_names = dict(self.names)
        self._name_changes: list[Names] = []  # the names after each unsynced change
        self._open: dict[int, tuple[Path, SimulatedFile]] = {}
        self._locks: dict[int, Path] = {}
        self._next_descriptor = 3

    # --- faults, for subclasses ---------------------------------------------------------------------------------

    def begin(self, operation: str, path: Path) -> None:
        """Called at the beginning of each call; raises what the call is to raise. `path`: the target of a rename."""

    def begin_write(self, file: SimulatedFile, data: bytes, offset: int) -> None:
        """Called before `begin` of a write; may write a part of the data when `begin` is about to raise."""

    def write_size(self, size: int) -> int:
        """Return how many of `size` bytes a write takes."""
        return size

    def read_size(self, size: int) -> int:
        """Return how many of `size` bytes a read returns."""
        return size

    def begin_sync(self, file: SimulatedFile) -> None:
        """Called before `begin` of a sync of a file; may make a part of it durable when `begin` is about to raise."""

    def wait_for_sync(self) -> None:
        """Called before content or names become durable; may advance the simulated time."""

    # --- events -------------------------------------------------------------------------------------------------

    def kill_process(self) -> None:
        """Release descriptors and locks. Everything that was written remains."""
        self._open.clear()
        self._locks.clear()

    def lose_power(self, choose: Callable[[int], int], lose: Callable[[SimulatedFile], None]) -> None:
        """Kill the process and lose what is not synced.

        `choose(n)` returns a number below n: how many of the n - 1 unsynced changes of names remain. `lose` is called
        for each remaining file, and must leave it durable (see `SimulatedFile.lose_power`).
        """
        self.kill_process()
        states = [self._synced_names, *self._name_changes]
        self.names = dict(states[choose(len(states))])
        for file in self.names.values():
            if file is not None:
                lose(file)
        self._synced_names = dict(self.names)
        self._name_changes.clear()

    def files(self) -> list[tuple[Path, SimulatedFile]]:
        """Return paths and files in the order of their paths."""
        return [(path, file) for path, file in sorted(self.names.items()) if file is not None]

    @property
    def open_files(self) -> list[Path]:
        """Paths of the open files, without lock files."""
        return [path for path, _ in self._open.values()]

    # --- calls of the storage -----------------------------------------------------------------------------------

    def make_directory(self, path: Path) -> None:
        self.begin("make_directory", path)
        if path in self.names:
            raise _error(errno.EEXIST, path)
        if path.parent not in self.names:
            raise _error(errno.ENOENT, path)
        self._change_names({path: None})

    def list_directory(self, path: Path) -> list[str]:
        self.begin("list_directory", path)
        if self.names.get(path, path) is not None:
            raise _error(errno.ENOTDIR if path in self.names else errno.ENOENT, path)
        return [name.name for name in self.names if name.parent == path and name != path]

    def sync_directory(self, path: Path) -> None:
        self.begin("sync_directory", path)
        self.wait_for_sync()
        children = {name: file for name, file in self.names.items() if name.parent == path}

        def with_children(names: Names) -> Names:
            return {**{name: file for name, file in names.items() if name.parent != path}, **children}

        self._synced_names = with_children(self._synced_names)
        self._name_changes = [names for names in map(with_children, self._name_changes) if names != self._synced_names]

    def read(self, path: Path, *, cached: bool = True) -> bytes:
        self.begin("read", path)
        file = self._file(path)
        if not cached:
            file.evict()
        return bytes(file.content)

    def open_to_read(self, path: Path) -> int:
        return self.open(path)

    def size(self, descriptor: int) -> int:
        return len(self._open[descriptor][1].content)

    def read_at(self, descriptor: int, size: int, offset: int) -> bytes:
        path, file = self._open[descriptor]
        self.begin("read", path)
        return bytes(file.content[offset : offset + self.read_size(size)])

    def create(self, path: Path) -> int:
        self.begin("create", path)
        if path in self.names:
            raise _error(errno.EEXIST, path)
        file = SimulatedFile()
        self._change_names({path: file})
        return self._descriptor(path, file)

    def open(self, path: Path) -> int:
        self.begin("open", path)
        return self._descriptor(path, self._file(path))

    def write(self, descriptor: int, buffers: Sequence[bytes], offset: int) -> int:
        path, file = self._open[descriptor]
        data = b"".join(buffers)
        self.begin_write(file, data, offset)
        self.begin("write", path)
        size = self.write_size(len(data))
        file.write(data[:size], offset)
        return size

    def truncate(self, descriptor: int, size: int) -> None:
        path, file = self._open[descriptor]
        self.begin("truncate", path)
        file.truncate(size)

    def sync_data(self, descriptor: int) -> None:
        self._sync("sync_data", descriptor)

    def sync_file(self, descriptor: int) -> None:
        self._sync("sync_file", descriptor)

    def close(self, descriptor: int) -> None:
        if descriptor in self._open:
            self.begin("close", self._open[descriptor][0])
        self._open.pop(descriptor, None)
        self._locks.pop(descriptor, None)

    def rename(self, source: Path, target: Path) -> None:
        self.begin("rename", target)
        file = self._file(source)
        self._open = {
            number: (target if path == source else path, open_file) for number, (path, open_file) in self._open.items()
        }
        self._change_names({target: file}, removed=source)

    def remove(self, path: Path) -> None:
        self.begin("remove", path)
        self._file(path)
        self._change_names({}, removed=path)

    def lock(self, path: Path) -> int:
        self.begin("lock", path)
        if path in self._locks.values():
            raise _error(errno.EAGAIN, path)
        if path not in self.names:
            self._change_names({path: SimulatedFile()})
        self._file(path).content[:] = b"4711\n"
        self._next_descriptor += 1
        self._locks[self._next_descriptor] = path
        return self._next_descriptor

    def _sync(self, operation: str, descriptor: int) -> None:
        path, file = self._open[descriptor]
        self.begin_sync(file)
        try:
            self.begin(operation, path)
        except OSError:
            file.fail_to_sync(lambda: False)
            raise
        self.wait_for_sync()
        file.sync()

    def _file(self, path: Path) -> SimulatedFile:
        file = self.names.get(path)
        if file is None:
            raise _error(errno.EISDIR if path in self.names else errno.ENOENT, path)
        return file

    def _descriptor(self, path: Path, file: SimulatedFile) -> int:
        self._next_descriptor += 1
        self._open[self._next_descriptor] = (path, file)
        return self._next_descriptor

    def _change_names(self, changed: Names, *, removed: Path | None = None) -> None:
        self.names.update(changed)
        if removed is not None:
            del self.names[removed]
        self._name_changes.append(dict(self.names))


class FaultyDisk(SimulatedDisk):
    """A disk with seeded faults. `on_sync` is called by each sync that succeeds, and may advance the simulated time."""

    def __init__(self, rng: Random, on_sync: Callable[[], None]) -> None:
        super().__init__()
        self._rng = rng
        self._on_sync = on_sync
        self._calls_until_crash: int | None = None
        self._awaited: tuple[Moment, int] | None = None
        self._error: int | None = None
        self._calls_until_error = 0
        self._dead = False

    def crash_after(self, calls: int | None, moment: Moment | None = None) -> None:
        """Crash in the call after `calls` more, counted from a moment (None: from now on); None calls no crash."""
        if calls is None or moment is None:
            self._calls_until_crash, self._awaited = calls, None
        else:
            self._calls_until_crash, self._awaited = None, (moment, calls)

    def fail_after(self, calls: int, error: int) -> None:
        """Fail every write and sync after `calls` more with an error number."""
        self._calls_until_error, self._error = calls, error

    @property
    def has_failed(self) -> bool:
        """Whether calls fail, or are about to."""
        return self._error is not None

    def stop(self, *, power_lost: bool) -> None:
        """Stop the process; after a power loss, unsynced content and names survive at random."""
        if power_lost:
            survival = self._rng.choice((0.0, 0.5, 0.5, 1.0))
            self.lose_power(self._rng.randrange, lambda file: file.lose_power(lambda: self._rng.random() < survival))
        self._dead = True
        self._error = None
        self.crash_after(None)

    def heal(self) -> None:
        """Let calls succeed again."""
        self._error = None

    def flip_bit(self, rng: Random) -> Callable[[], None]:
        """Flip one bit of what was synced; return a function that flips it back."""
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
        """Start a new process."""
        self.kill_process()
        self._dead = False

    # --- faults -------------------------------------------------------------------------------------------------

    def begin(self, operation: str, path: Path) -> None:
        if operation == "close":
            return
        if self._awaited is not None and self._awaited[0] is _moment(operation, path):
            self.crash_after(self._awaited[1])
        if self._dead:
            raise SimulatedCrash
        if self._calls_until_crash is not None:
            if self._calls_until_crash == 0:
                self._dead = True
                raise SimulatedCrash
            self._calls_until_crash -= 1
        if self._error is not None and operation in _MAY_FAIL:
            if self._calls_until_error == 0:
                raise _error(self._error)
            self._calls_until_error -= 1

    def begin_write(self, file: SimulatedFile, data: bytes, offset: int) -> None:
        if self._calls_until_crash == 0 and not self._dead:
            file.write(data[: self._rng.randint(0, len(data))], offset)

    def begin_sync(self, file: SimulatedFile) -> None:
        if self._error is not None and self._calls_until_error == 0 and not self._dead:
            file.fail_to_sync(lambda: self._rng.random() < 0.5)

    def write_size(self, size: int) -> int:
        if size > 1 and self._rng.random() < _SHORT_WRITE_PROBABILITY:
            return self._rng.randint(1, size)
        return size

    def read_size(self, size: int) -> int:
        if size > 1 and self._rng.random() < _SHORT_READ_PROBABILITY:
            return self._rng.randint(1, size)
        return size

    def wait_for_sync(self) -> None:
        self._on_sync()


_MAY_FAIL = {"create", "write", "truncate", "sync_data", "sync_file", "sync_directory", "rename", "remove"}


def _moment(operation: str, path: Path) -> Moment | None:
    if operation == "create" and ".snapshot" in path.name:
        return Moment.SNAPSHOT_BEGUN
    if operation == "rename" and path.suffix == ".snapshot":
        return Moment.SNAPSHOT_NAMED
    if operation == "remove" and path.suffix == ".log":
        return Moment.SEGMENT_REMOVED
    return None


def _error(number: int, path: Path | None = None) -> OSError:
    return OSError(number, os.strerror(number), *([path] if path else []))
