"""The operating system's calls whose order and whose failure decide what survives a crash, in one place.

The storage makes no other call on files. A test can pass an object of its own to record the order of writes and
syncs, to fail any of them, or to lose what was not synced.
"""

import fcntl
import os
import threading
from collections.abc import Sequence
from pathlib import Path

_BUFFERS_PER_CALL_MAX = 1024  # IOV_MAX of Linux


class Filesystem:
    """Files of the operating system. Every method raises OSError as the system does."""

    def make_directory(self, path: Path) -> None:
        path.mkdir(0o750)

    def list_directory(self, path: Path) -> list[str]:
        return [entry.name for entry in path.iterdir()]

    def sync_directory(self, path: Path) -> None:
        """Make created, renamed and removed names in a directory durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self, path: Path, *, cached: bool = True) -> bytes:
        """All of a file. Not cached: what is on disk, save for what is still to be written there.

        After a failed sync, Linux keeps in memory what it could not write and takes it for written.
        """
        with path.open("rb") as file:
            if not cached:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return file.read()

    def open_to_read(self, path: Path) -> int:
        """Open an existing file where one may only read."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def size(self, descriptor: int) -> int:
        """Bytes in an open file."""
        return os.fstat(descriptor).st_size

    def read_at(self, descriptor: int, size: int, offset: int) -> bytes:
        """Read from a position on; may return fewer bytes than asked for, and none only at the file's end."""
        return os.pread(descriptor, size, offset)

    def create(self, path: Path) -> int:
        """Open a new file for writing; it must not exist."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    def open(self, path: Path) -> int:
        """Open an existing file for writing."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write(self, descriptor: int, buffers: Sequence[bytes], offset: int) -> int:
        """Write from a position on; returns the number of bytes written, which may be fewer than asked for."""
        return os.pwritev(descriptor, buffers[:_BUFFERS_PER_CALL_MAX], offset)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def sync_data(self, descriptor: int) -> None:
        """Make a file's content and size durable."""
        os.fdatasync(descriptor)

    def sync_file(self, descriptor: int) -> None:
        """Make a file's content and all its attributes durable."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Take the name away. To free a large file takes long: that is left to a thread, which closes it last."""
        descriptor = self.open_to_read(path)
        try:
            path.unlink()
        finally:
            threading.Thread(target=os.close, args=(descriptor,), name="remove").start()

    def lock(self, path: Path) -> int:
        """Hold a lock file until it is closed, also by the end of the process; BlockingIOError: another holds it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def write_all(filesystem: Filesystem, descriptor: int, buffers: Sequence[bytes], offset: int) -> None:
    """Write every byte, also when the system takes them chunkmeal."""
    size = sum(map(len, buffers))
    written = filesystem.write(descriptor, buffers, offset)
    while written < size:
        remainder = b"".join(buffers)[written:]
        count = filesystem.write(descriptor, [remainder], offset + written)
        if count <= 0:
            raise OSError(f"a write of {len(remainder)} bytes wrote nothing")
        written += count


def read_all(filesystem: Filesystem, descriptor: int, size: int, offset: int) -> bytes:
    """Read every byte, also when the system gives them chunkmeal."""
    data = filesystem.read_at(descriptor, size, offset)
    while len(data) < size:
        more = filesystem.read_at(descriptor, size - len(data), offset + len(data))
        if not more:
            raise OSError(f"a read of {size} bytes at {offset} found the end of the file after {len(data)}")
        data += more
    return data
