"""The system calls of the storage. Their order and their failures decide what survives a crash.

The storage makes no other calls on files. A test can substitute an object that records the order of writes and syncs,
fails any of them, or loses what was not synced.
"""

import fcntl
import os
import threading
from collections.abc import Sequence
from pathlib import Path

_BUFFERS_PER_CALL_MAX = 1024  # IOV_MAX of Linux


class Filesystem:
    """Files of the operating system. Every method may raise `OSError`."""

    def make_directory(self, path: Path) -> None:
        path.mkdir(0o750)

    def list_directory(self, path: Path) -> list[str]:
        return [entry.name for entry in path.iterdir()]

    def sync_directory(self, path: Path) -> None:
        """Make names created, renamed or removed in a directory durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self, path: Path, *, cached: bool = True) -> bytes:
        """Return the content of a file. `cached=False` bypasses clean pages of the page cache.

        After a failed sync, Linux marks pages as clean although they were not written.
        """
        with path.open("rb") as file:
            if not cached:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return file.read()

    def open_to_read(self, path: Path) -> int:
        """Open an existing file for reading."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def size(self, descriptor: int) -> int:
        """Return the size of an open file in bytes."""
        return os.fstat(descriptor).st_size

    def read_at(self, descriptor: int, size: int, offset: int) -> bytes:
        """Read from an offset on. May return fewer bytes than requested; returns none only at the end of the file."""
        return os.pread(descriptor, size, offset)

    def create(self, path: Path) -> int:
        """Create a file and open it for writing. It must not exist."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    def open(self, path: Path) -> int:
        """Open an existing file for writing."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write(self, descriptor: int, buffers: Sequence[bytes], offset: int) -> int:
        """Write from an offset on; return the number of bytes written, which may be less than requested."""
        return os.pwritev(descriptor, buffers[:_BUFFERS_PER_CALL_MAX], offset)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def sync_data(self, descriptor: int) -> None:
        """Make a file's content and size durable."""
        os.fdatasync(descriptor)

    def sync_file(self, descriptor: int) -> None:
        """Make a file's content and all attributes durable."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Remove a file. A thread closes it last, because freeing the space of a large file takes long."""
        descriptor = self.open_to_read(path)
        try:
            path.unlink()
        finally:
            threading.Thread(target=os.close, args=(descriptor,), name="remove").start()

    def lock(self, path: Path) -> int:
        """Lock a file until the descriptor is closed; return the descriptor.

        Raise `BlockingIOError` if another process holds the lock.
        """
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
    """Write all bytes, repeating short writes."""
    size = sum(map(len, buffers))
    written = filesystem.write(descriptor, buffers, offset)
    while written < size:
        remainder = b"".join(buffers)[written:]
        count = filesystem.write(descriptor, [remainder], offset + written)
        if count <= 0:
            raise OSError(f"a write of {len(remainder)} bytes wrote nothing")
        written += count


def read_all(filesystem: Filesystem, descriptor: int, size: int, offset: int) -> bytes:
    """Read exactly `size` bytes, repeating short reads."""
    data = filesystem.read_at(descriptor, size, offset)
    while len(data) < size:
        more = filesystem.read_at(descriptor, size - len(data), offset + len(data))
        if not more:
            raise OSError(f"a read of {size} bytes at {offset} reached the end of the file after {len(data)}")
        data += more
    return data
