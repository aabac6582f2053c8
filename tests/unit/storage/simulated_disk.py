"""A disk in memory that tells what was synced from what was only written, loses the difference, and fails on demand."""

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from raft_pkg.storage import Filesystem

SECTOR_BYTES: Final = 512


class Crash(BaseException):
    """The machine stops in the middle of an operation. Not an Exception: nothing may catch it and go on."""


class File:
    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.synced = data
        self.sync_failed = False  # what is in memory is taken for written, although it is not


class Directory:
    """Has no content of its own: what is in it follows from the paths."""


class SimulatedDisk(Filesystem):
    """Files by path. `operations` lists every change and sync as (operation, file name).

    `before` is called with an operation and the path it concerns, and may raise. `accept` says how many bytes of a
    write are taken, and `accept_reading` how many of those asked for a read gives.
    """

    def __init__(self) -> None:
        self.nodes: dict[Path, File | Directory] = {Path("/"): Directory()}
        self.operations: list[tuple[str, str]] = []
        self._unsynced_names: list[dict[Path, File | Directory | None]] = []  # what each change replaced
        self._open: dict[int, Path] = {}
        self._locked: dict[int, Path] = {}
        self._descriptors = iter(range(100, 1_000_000))
        self._behave()

    def _behave(self) -> None:
        self.before: Callable[[str, Path], None] = lambda _operation, _path: None
        self.accept: Callable[[int], int] = lambda size: size
        self.accept_reading: Callable[[int], int] = lambda size: size

    # What a test does to it

    def kill_process(self) -> None:
        """Close files and locks, as when the process is killed; what was written is there."""
        self._open.clear()
        self._locked.clear()
        self._behave()

    def lose_power(self, choose: Callable[[int], int]) -> None:
        """Keep what was synced and some of the rest; `choose(n)` returns one of 0 to n - 1."""
        self.kill_process()
        survivors = choose(len(self._unsynced_names) + 1)
        for replaced in reversed(self._unsynced_names[survivors:]):
            self._restore(replaced)
        self._unsynced_names.clear()
        for node in self.nodes.values():
            if isinstance(node, File):
                node.synced = _after_power_loss(bytes(node.data), node.synced, choose)
                node.data = bytearray(node.synced)
                node.sync_failed = False

    def copy(self) -> dict[Path, bytes]:
        """The content of every file."""
        return {path: bytes(node.data) for path, node in self.nodes.items() if isinstance(node, File)}

    @property
    def open_files(self) -> list[Path]:
        return list(self._open.values())

    @classmethod
    def holding(cls, files: dict[Path, bytes]) -> "SimulatedDisk":
        """A disk with these files on it, all of them synced."""
        disk = cls()
        for path, data in files.items():
            disk.nodes |= {parent: Directory() for parent in path.parents}
            disk.nodes[path] = File(data)
        return disk

    # What the storage does with it

    def make_directory(self, path: Path) -> None:
        self._begin("make_directory", path)
        if path in self.nodes:
            raise _error(errno.EEXIST)
        if path.parent not in self.nodes:
            raise _error(errno.ENOENT)
        self._change({path: Directory()})

    def list_directory(self, path: Path) -> list[str]:
        if not isinstance(self.nodes.get(path), Directory):
            raise _error(errno.ENOTDIR if path in self.nodes else errno.ENOENT)
        return [node.name for node in self.nodes if node.parent == path and node != path]

    def sync_directory(self, path: Path) -> None:
        self._begin("sync_directory", path)
        self._unsynced_names = [
            replaced for replaced in self._unsynced_names if path not in {changed.parent for changed in replaced}
        ]

    def read(self, path: Path, *, cached: bool = True) -> bytes:
        self._begin("read", path)
        file = self._file(path)
        if file.sync_failed and not cached:
            file.sync_failed = False
            file.data[:] = file.synced
        return bytes(file.data)

    def open_to_read(self, path: Path) -> int:
        return self.open(path)

    def size(self, descriptor: int) -> int:
        return len(self._file(self._open[descriptor]).data)

    def read_at(self, descriptor: int, size: int, offset: int) -> bytes:
        self._begin("read", self._open[descriptor])
        return bytes(self._file(self._open[descriptor]).data[offset : offset + self.accept_reading(size)])

    def create(self, path: Path) -> int:
        self._begin("create", path)
        if path in self.nodes:
            raise _error(errno.EEXIST)
        self._change({path: File()})
        return self._opened(path)

    def open(self, path: Path) -> int:
        self._begin("open", path)
        self._file(path)
        return self._opened(path)

    def write(self, descriptor: int, buffers: Sequence[bytes], offset: int) -> int:
        self._begin("write", self._open[descriptor])
        data = b"".join(buffers)
        taken = self.accept(len(data))
        content = self._file(self._open[descriptor]).data
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + taken] = data[:taken]
        return taken

    def truncate(self, descriptor: int, size: int) -> None:
        self._begin("truncate", self._open[descriptor])
        del self._file(self._open[descriptor]).data[size:]

    def sync_data(self, descriptor: int) -> None:
        self._sync("sync_data", self._open[descriptor])

    def sync_file(self, descriptor: int) -> None:
        self._sync("sync_file", self._open[descriptor])

    def close(self, descriptor: int) -> None:
        if descriptor in self._open:
            self.before("close", self._open[descriptor])
        (self._locked if descriptor in self._locked else self._open).pop(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        self._begin("rename", target)
        file = self._file(source)
        self._open = {number: target if path == source else path for number, path in self._open.items()}
        self._change({source: None, target: file})

    def remove(self, path: Path) -> None:
        self._begin("remove", path)
        self._file(path)
        self._change({path: None})

    def lock(self, path: Path) -> int:
        self._begin("lock", path)
        if path in self._locked.values():
            raise _error(errno.EAGAIN)
        if path not in self.nodes:
            self._change({path: File()})
        self._file(path).data[:] = b"4711\n"
        descriptor = next(self._descriptors)
        self._locked[descriptor] = path
        return descriptor

    def _begin(self, operation: str, path: Path) -> None:
        self.before(operation, path)
        if operation not in ("read", "open"):
            self.operations.append((operation, path.name))

    def _opened(self, path: Path) -> int:
        descriptor = next(self._descriptors)
        self._open[descriptor] = path
        return descriptor

    def _file(self, path: Path) -> File:
        node = self.nodes.get(path)
        if not isinstance(node, File):
            raise _error(errno.ENOENT if node is None else errno.EISDIR)
        return node

    def _sync(self, operation: str, path: Path) -> None:
        file = self._file(path)
        try:
            self._begin(operation, path)
        except OSError:
            file.sync_failed = True
            raise
        if not file.sync_failed:
            file.synced = bytes(file.data)

    def _change(self, change: dict[Path, File | Directory | None]) -> None:
        self._unsynced_names.append({path: self.nodes.get(path) for path in change})
        self._restore(change)

    def _restore(self, nodes: dict[Path, File | Directory | None]) -> None:
        for path, node in nodes.items():
            if node is None:
                self.nodes.pop(path, None)
            else:
                self.nodes[path] = node


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _after_power_loss(written: bytes, synced: bytes, choose: Callable[[int], int]) -> bytes:
    if written == synced:
        return synced
    if len(written) < len(synced):
        return (written, synced)[choose(2)]
    before = synced.ljust(len(written), b"\0")
    if choose(3) == 0:
        cut = len(synced.rstrip(b"\0")) + choose(len(written) - len(synced.rstrip(b"\0")) + 1)
        left = written[:cut] + before[cut:]
    else:
        sectors = range(0, len(written), SECTOR_BYTES)
        left = b"".join((written, before)[choose(2)][start : start + SECTOR_BYTES] for start in sectors)
    return left[: len(synced) + choose(len(written) - len(synced) + 1)] if choose(2) else left
