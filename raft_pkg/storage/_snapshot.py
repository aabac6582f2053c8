"""The file of a snapshot: written under a temporary name, read and verified chunk by chunk.

    header      magic, format version, lengths, index, term, the node's identity, configuration, checksum
    data        the bytes of the state machine, unchanged
    trailer     size and checksum of the data; checksum of both, seeded with the header's; end mark

Data is appended, and each chunk is synced, so that no call takes long. The file is renamed to its final name when all
of it is durable; the rename makes it the storage's snapshot. Hence a crash leaves either a temporary file, which
recovery removes, or a complete snapshot, possibly beside the previous one, and the newer one is used.

Only complete files get the name of a snapshot, so anything invalid in one is damage: a wrong length or checksum, a
missing end, data behind the end, an index that differs from the name. A storage with a damaged snapshot is rejected,
even if an older snapshot exists, and so is one whose snapshot is missing although the log starts after entry 1. Nothing
is changed in either case, because the entries that a snapshot replaces were acknowledged.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from zlib import crc32

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.types import SnapshotMetadata
from raft_pkg.errors import StorageError
from raft_pkg.storage._directory import DataDirectory, temporary_path
from raft_pkg.storage._errors import corrupt_log_error
from raft_pkg.storage._filesystem import Filesystem, read_all, write_all

FORMAT_VERSION = 2
CONFIGURATION_BYTES_MAX = 1 << 20

_MAGIC = b"RAFTSNAP"
_FIELDS = Struct("<8sIIQQH")
_CHECKSUM = Struct("<I")
_HEADER_BYTES_MAX = _FIELDS.size + (1 << 16) + CONFIGURATION_BYTES_MAX + _CHECKSUM.size
_TRAILER_FIELDS = Struct("<QI")
_TRAILER_END = Struct("<I4s")
_TRAILER_BYTES = _TRAILER_FIELDS.size + _TRAILER_END.size
_END_MARK = b"\xe5SNe"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SnapshotHeader:
    """The header of a snapshot's file."""

    node_id: str
    index: int
    term: int
    configuration: Configuration

    def encode(self) -> bytes:
        """Encode the header. Raise `ValueError` if the configuration is too large."""
        node_id = self.node_id.encode()
        configuration = self.configuration.encode()
        if len(configuration) > CONFIGURATION_BYTES_MAX:
            raise ValueError(f"a configuration of {len(configuration)} bytes; the limit is {CONFIGURATION_BYTES_MAX}")
        fields = _FIELDS.pack(_MAGIC, FORMAT_VERSION, len(configuration), self.index, self.term, len(node_id))
        content = fields + node_id + configuration
        return content + _CHECKSUM.pack(crc32(content))

    def metadata(self, size: int, checksum: int) -> SnapshotMetadata:
        return SnapshotMetadata(self.index, self.term, self.configuration, size, checksum)


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A durable snapshot and its file."""

    path: Path
    metadata: SnapshotMetadata
    data_offset: int


class NewSnapshot:
    """A snapshot that is being written. Every method but `discard` may raise `OSError`."""

    def __init__(self, directory: DataDirectory, header: SnapshotHeader) -> None:
        encoded = header.encode()
        self.path = directory.snapshot_path(header.index)
        self.header = header
        self.size = 0  # of the data so far
        self._checksum = 0  # of the data so far
        self._data_offset = len(encoded)
        self._seed = crc32(encoded)
        self._directory = directory
        self._filesystem = directory.filesystem
        self._temporary = temporary_path(self.path)
        with suppress(FileNotFoundError):  # it exists when an earlier removal failed
            self._filesystem.remove(self._temporary)
        self._descriptor = self._filesystem.create(self._temporary)
        self._is_open = True
        try:
            write_all(self._filesystem, self._descriptor, [encoded], 0)
        except OSError:
            self.discard()
            raise

    def write(self, data: bytes) -> None:
        """Append data durably."""
        write_all(self._filesystem, self._descriptor, [data], self._data_offset + self.size)
        self._filesystem.sync_data(self._descriptor)
        self.size += len(data)
        self._checksum = crc32(data, self._checksum)

    def finish(self) -> StoredSnapshot:
        """Complete the file and rename it durably."""
        trailer = _encode_trailer(self.size, self._checksum, self._seed)
        write_all(self._filesystem, self._descriptor, [trailer], self._data_offset + self.size)
        self._filesystem.sync_file(self._descriptor)
        self._close()
        self._filesystem.rename(self._temporary, self.path)
        self._directory.sync()
        return StoredSnapshot(self.path, self.header.metadata(self.size, self._checksum), self._data_offset)

    def discard(self) -> None:
        """Remove the file. If that fails, recovery removes it."""
        with suppress(OSError):
            self._close()
        with suppress(OSError):
            self._filesystem.remove(self._temporary)

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._filesystem.close(self._descriptor)


class SnapshotReader:
    """Reads chunks of a snapshot's data. Every method may raise `OSError`."""

    def __init__(self, filesystem: Filesystem, stored: StoredSnapshot) -> None:
        self._filesystem = filesystem
        self._stored = stored
        self._descriptor = filesystem.open_to_read(stored.path)

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset` on; fewer only at the end of the data."""
        size = min(size, self._stored.metadata.size - offset)
        if size <= 0:
            return b""
        return read_all(self._filesystem, self._descriptor, size, self._stored.data_offset + offset)

    def close(self) -> None:
        self._filesystem.close(self._descriptor)


def check_snapshot_file(directory: DataDirectory, index: int) -> tuple[StoredSnapshot, str]:
    """Read and verify a snapshot's file chunk by chunk; return the snapshot and the identity of its node.

    Raise `CorruptLogError`, `StorageError` for another format version, and `OSError`.
    """
    path = directory.snapshot_path(index)
    filesystem = directory.filesystem
    descriptor = filesystem.open_to_read(path)
    try:
        file_size = filesystem.size(descriptor)
        beginning = read_all(filesystem, descriptor, min(file_size, _HEADER_BYTES_MAX), 0)
        header, data_offset = _decode_header(path, beginning)
        if header.index != index:
            raise corrupt_log_error(path, 0, f"the file holds a snapshot up to entry {header.index}; it was renamed")
        trailer_offset = file_size - _TRAILER_BYTES
        if trailer_offset < data_offset:
            raise corrupt_log_error(path, file_size, f"the file ends within its trailer of {_TRAILER_BYTES} bytes")
        trailer = read_all(filesystem, descriptor, _TRAILER_BYTES, trailer_offset)
        size, checksum = _decode_trailer(path, trailer_offset, trailer, crc32(beginning[:data_offset]))
        if size != trailer_offset - data_offset:
            raise corrupt_log_error(
                path, trailer_offset, f"the data has {trailer_offset - data_offset} bytes instead of the {size} written"
            )
        if _checksum_of(filesystem, descriptor, data_offset, size) != checksum:
            raise corrupt_log_error(path, data_offset, f"the snapshot's {size} bytes do not match their checksum")
    finally:
        filesystem.close(descriptor)
    return StoredSnapshot(path, header.metadata(size, checksum), data_offset), header.node_id


def _checksum_of(filesystem: Filesystem, descriptor: int, offset: int, size: int) -> int:
    checksum = 0
    for start in range(0, size, _CHUNK_BYTES):
        chunk = read_all(filesystem, descriptor, min(_CHUNK_BYTES, size - start), offset + start)
        checksum = crc32(chunk, checksum)
    return checksum


def _decode_header(path: Path, data: bytes) -> tuple[SnapshotHeader, int]:
    """Decode the header at the start of a file; return it and its size. Lengths are verified before use."""
    if len(data) < _FIELDS.size:
        raise corrupt_log_error(path, len(data), "the file ends within its header")
    magic, version, configuration_bytes, index, term, id_bytes = _FIELDS.unpack_from(data)
    id_end = _FIELDS.size + id_bytes
    end = id_end + configuration_bytes
    if magic != _MAGIC or data[end : end + _CHECKSUM.size] != _CHECKSUM.pack(crc32(data[:end])):
        raise corrupt_log_error(path, 0, "the snapshot's header does not match its checksum, or this is not a snapshot")
    if version != FORMAT_VERSION:
        raise StorageError(
            f"{path}: byte {len(_MAGIC)}: the snapshot has format version {version}, this program reads "
            f"{FORMAT_VERSION}; use the version of raft_pkg that wrote it"
        )
    try:
        header = SnapshotHeader(
            data[_FIELDS.size : id_end].decode(), index, term, Configuration.decode(data[id_end:end])
        )
    except ValueError as error:
        raise corrupt_log_error(path, _FIELDS.size, f"the header is invalid: {error}") from None
    return header, end + _CHECKSUM.size


def _encode_trailer(size: int, checksum: int, seed: int) -> bytes:
    fields = _TRAILER_FIELDS.pack(size, checksum)
    return fields + _TRAILER_END.pack(crc32(fields, seed), _END_MARK)


def _decode_trailer(path: Path, offset: int, data: bytes, seed: int) -> tuple[int, int]:
    """Return size and checksum of the data."""
    fields = data[: _TRAILER_FIELDS.size]
    if data[_TRAILER_FIELDS.size :] != _TRAILER_END.pack(crc32(fields, seed), _END_MARK):
        raise corrupt_log_error(path, offset, "the snapshot's trailer is missing or does not match its checksum")
    size, checksum = _TRAILER_FIELDS.unpack(fields)
    return size, checksum
