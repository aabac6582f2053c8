"""The data directory: the names of its files, its lock, and `node.json`, which identifies its owner.

LOCK                   locked while a process uses the directory; contains the id of that process
node.json              the owner, the oldest segment of the log, and a position up to which the log was synced
0000000001.log …       segments of the log
….snapshot             the snapshot, named after the last index that it replaces
*.tmp of these         files that a crash left unfinished; removed by recovery

A crash may leave segments older than the log's oldest one, and snapshots older than the newest. They are ignored, and
removed by recovery.
"""

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from zlib import crc32

from raft_pkg.errors import DirectoryInUseError, ForeignDirectoryError, StorageError
from raft_pkg.storage._errors import corrupt_log_error, storage_error
from raft_pkg.storage._filesystem import Filesystem, write_all

LOCK_NAME = "LOCK"
NODE_FILE_NAME = "node.json"
TEMPORARY_SUFFIX = ".tmp"

_SEGMENT_NAME = re.compile(r"(\d{10})\.log")
_SNAPSHOT_NAME = re.compile(r"(\d{20})\.snapshot")
_NODE_FILE_VERSION = 3


@dataclass(frozen=True, slots=True)
class NodeFile:
    """The content of `node.json`.

    `synced_segment` and `synced_offset` are the end of the log when it was last opened, closed or compacted, or when a
    segment was added. They reveal a loss of the newest segments, or of anything else before that position.
    `oldest_segment` reveals a loss of the oldest segments: older ones are removed only after it has been written.
    """

    node_id: str
    incarnation: int
    oldest_segment: int
    synced_segment: int
    synced_offset: int

    def encode(self) -> bytes:
        content = {"format": _NODE_FILE_VERSION, **asdict(self)}
        return json.dumps({**content, "checksum": _checksum(content)}, indent=2).encode() + b"\n"

    @classmethod
    def decode(cls, path: Path, data: bytes) -> "NodeFile":
        try:
            content = json.loads(data)
            checksum = content.pop("checksum")
            version = content.pop("format")
            numbers = (content[name] for name in ("incarnation", "oldest_segment", "synced_segment", "synced_offset"))
            node_file = cls(str(content["node_id"]), *map(int, numbers))
        except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
            raise corrupt_log_error(path, 0, "the file was not written by raft_pkg") from None
        if checksum != _checksum({"format": version, **content}):
            raise corrupt_log_error(path, 0, "the file does not match its checksum")
        if version != _NODE_FILE_VERSION:
            raise StorageError(f"{path}: has format version {version}, this program reads {_NODE_FILE_VERSION}")
        return node_file


def _checksum(content: dict[str, object]) -> str:
    return f"{crc32(json.dumps(content, sort_keys=True).encode()):08x}"


def temporary_path(path: Path) -> Path:
    """Return the name of a file while its content is not durable."""
    return path.with_name(path.name + TEMPORARY_SUFFIX)


class DataDirectory:
    """A data directory and its files."""

    def __init__(self, filesystem: Filesystem, path: Path) -> None:
        self.path = path
        self.filesystem = filesystem

    def segment_path(self, sequence: int) -> Path:
        return self.path / f"{sequence:010d}.log"

    def snapshot_path(self, index: int) -> Path:
        return self.path / f"{index:020d}.snapshot"

    def make(self) -> None:
        """Create the directory and its parents durably, unless they exist."""
        try:
            self._make(self.path)
        except OSError as error:
            raise storage_error("create the data directory", self.path, error) from error

    def _make(self, path: Path) -> None:
        try:
            self.filesystem.make_directory(path)
        except FileExistsError:
            return
        except FileNotFoundError:
            self._make(path.parent)
            self.filesystem.make_directory(path)
        self.filesystem.sync_directory(path.parent)

    def sync(self) -> None:
        """Make the names of created and renamed files durable. Raise `OSError`."""
        self.filesystem.sync_directory(self.path)

    def sync_parent(self) -> None:
        """Make the directory's own name durable, in case its creator crashed before that."""
        with suppress(PermissionError):  # the parent of a volume's root may not be readable
            self.filesystem.sync_directory(self.path.absolute().parent)

    def lock(self) -> int:
        """Lock out other processes; return the descriptor that holds the lock."""
        path = self.path / LOCK_NAME
        try:
            return self.filesystem.lock(path)
        except BlockingIOError:
            holder = self._lock_holder(path)
        except OSError as error:
            raise storage_error("lock the data directory", path, error) from error
        raise DirectoryInUseError(
            f"{self.path}: in use by process {holder}; stop that process, or use another data directory"
        )

    def _lock_holder(self, path: Path) -> str:
        try:
            return self.filesystem.read(path).decode("ascii").strip() or "(its id is not known)"
        except (OSError, UnicodeDecodeError):
            return "(its id is not known)"

    def segments(self) -> list[int]:
        """Return the sequence numbers of the segment files in ascending order."""
        return self._numbers(_SEGMENT_NAME)

    def snapshots(self) -> list[int]:
        """Return the indexes of the snapshot files in ascending order."""
        return self._numbers(_SNAPSHOT_NAME)

    def _numbers(self, pattern: re.Pattern[str]) -> list[int]:
        matches = map(pattern.fullmatch, self._names())
        return sorted(int(match[1]) for match in matches if match)

    def remove_temporary_files(self) -> None:
        """Remove files that a crash left unfinished. Raise `OSError`."""
        for name in self._names():
            stem = name.removesuffix(TEMPORARY_SUFFIX)
            is_ours = stem == NODE_FILE_NAME or _SEGMENT_NAME.fullmatch(stem) or _SNAPSHOT_NAME.fullmatch(stem)
            if stem != name and is_ours:
                self.filesystem.remove(self.path / name)

    def remove_before(self, *, segment: int, snapshot: int) -> None:
        """Remove older segments and snapshots than these. Raise `OSError`."""
        for sequence in self.segments():
            if sequence < segment:
                self.filesystem.remove(self.segment_path(sequence))
        for index in self.snapshots():
            if index < snapshot:
                self.filesystem.remove(self.snapshot_path(index))

    def _names(self) -> list[str]:
        try:
            return self.filesystem.list_directory(self.path)
        except OSError as error:
            raise storage_error("list the data directory", self.path, error) from error

    def read(self, path: Path, *, cached: bool = True) -> bytes:
        try:
            return self.filesystem.read(path, cached=cached)
        except OSError as error:
            raise storage_error("read the file", path, error) from error

    def read_node_file(self) -> NodeFile | None:
        """Return the content of `node.json`, None when the file does not exist."""
        path = self.path / NODE_FILE_NAME
        return NodeFile.decode(path, self.read(path)) if NODE_FILE_NAME in self._names() else None

    def write_node_file(self, node_file: NodeFile) -> None:
        """Replace `node.json` durably and atomically. Raise `OSError`."""
        self.filesystem.close(self.create(self.path / NODE_FILE_NAME, [node_file.encode()]))

    def create(self, path: Path, buffers: list[bytes]) -> int:
        """Create a file durably and atomically; return its descriptor. Raise `OSError`."""
        temporary = temporary_path(path)
        descriptor = self.filesystem.create(temporary)
        try:
            write_all(self.filesystem, descriptor, buffers, 0)
            self.filesystem.sync_file(descriptor)
            self.filesystem.rename(temporary, path)
            self.sync()
        except BaseException:
            self.filesystem.close(descriptor)
            raise
        return descriptor

    def foreign_error(self, owner: str, node_id: str) -> ForeignDirectoryError:
        return ForeignDirectoryError(
            f"{self.path}: belongs to node {owner!r}, not to {node_id!r}; "
            f"use the identity {owner!r}, or another directory"
        )
