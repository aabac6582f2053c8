"""A segment of the log: its header, and a reader of its records.

    header    512 bytes   magic, format version, sequence number, index and term of the last entry before the segment,
                          whether the segment resets the log, end and checksum of the previous segment, the node's
                          identity, checksum
    records               see `_record`; the first one is the hard state at the time when the segment was created
    zeros                 preallocated space, so that most syncs need not change the size of the file

Segments are numbered from 1 without gaps. A file gets its name after header and first record are durable.

A segment resets the log when a snapshot was installed whose last entry the log did not contain: the entries of all
previous segments are then obsolete (§7, Figure 13).
"""

from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import NamedTuple, NoReturn
from zlib import crc32

from raft_pkg.core.types import Entry, HardState
from raft_pkg.errors import StorageError
from raft_pkg.storage._errors import corrupt_log_error
from raft_pkg.storage._record import SEGMENT_BYTES_MAX, Damage, InvalidRecordError, Record, RecordDecoder
from raft_pkg.storage._torn import is_torn, last_written

FORMAT_VERSION = 3
SEGMENT_HEADER_BYTES = 512
NODE_ID_BYTES_MAX = 255

_MAGIC = b"RAFTLOG\n"
_FIELDS = Struct("<8sIIQQQQ?H")
_CHECKSUM = Struct("<I")
_FILLER = bytes(SEGMENT_HEADER_BYTES)


class SegmentHeader(NamedTuple):
    """Describes a segment and the end of the previous one."""

    sequence: int
    base_index: int  # of the last entry before the segment; 0 without one
    base_term: int  # its term
    resets_log: bool  # the entries of all previous segments are obsolete
    previous_end: int  # end of the records of the previous segment; 0 in the first segment
    previous_checksum: int  # of the last record of the previous segment; 0 in the first segment
    node_id: str

    def encode(self) -> bytes:
        node_id = self.node_id.encode()
        fields = _FIELDS.pack(
            _MAGIC, FORMAT_VERSION, self.previous_checksum, self.sequence, self.base_index, self.base_term,
            self.previous_end, self.resets_log, len(node_id),
        )  # fmt: skip
        content = (fields + node_id + _FILLER)[: SEGMENT_HEADER_BYTES - _CHECKSUM.size]
        return content + _CHECKSUM.pack(crc32(content))

    @staticmethod
    def checksum(encoded: bytes) -> int:
        """Return the checksum of an encoded header, which the first record repeats."""
        (checksum,) = _CHECKSUM.unpack_from(encoded, SEGMENT_HEADER_BYTES - _CHECKSUM.size)
        return int(checksum)


class KeptSegment(NamedTuple):
    """Describes a segment for compaction."""

    sequence: int
    highest_index: int  # of the entries in it, including replaced ones; 0 without any


class SegmentReader:
    """Reads one segment. When `records` is exhausted, `end` and `checksum` are those of the last record.

    `highest_index` is the greatest index of the entries read, including replaced ones; 0 without any.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        if len(data) > SEGMENT_BYTES_MAX:
            raise corrupt_log_error(path, SEGMENT_BYTES_MAX, "the file exceeds the size limit of a segment")
        self.path = path
        self.header = _decode_header(path, data)
        self.checksum = SegmentHeader.checksum(data)
        self.end = SEGMENT_HEADER_BYTES
        self.highest_index = 0
        self.size = len(data)
        self._data = data
        self._damage = Damage("the file ends", None)

    def records(self) -> Iterator[Record]:
        """Yield the valid records in order, up to the first invalid position."""
        decoder = RecordDecoder(self._data, self.header.sequence)
        while True:
            try:
                record = decoder.decode(self.end, self.checksum)
            except InvalidRecordError as error:
                self.reject(self.end, str(error))
            if isinstance(record, Damage):
                self._damage = record
                break
            if record.offset == SEGMENT_HEADER_BYTES and not isinstance(record.value, HardState):
                self.reject(record.offset, "the segment does not start with a hard state")
            self.end = record.end
            self.checksum = record.checksum
            if isinstance(record.value, Entry) and record.value.index > self.highest_index:
                self.highest_index = record.value.index
            yield record
        self._require_not_synced(decoder)

    def require_synced_up_to(self, offset: int, source: str) -> None:
        """Reject the segment when its records end before an offset up to which `source` says that it was synced."""
        if self.end < offset:
            self.reject(self.end, f"{self._end_reason()}, although {source} shows that byte {offset} was synced")

    def torn_bytes(self) -> int:
        """Return the length of the torn write at the end of the newest segment; reject damage."""
        torn_bytes = last_written(self._data, self.end) - self.end
        if torn_bytes and not is_torn(self._data, self.end, self._damage):
            self.reject(self.end, f"{self._damage.what}, and all of its sectors are present")
        return torn_bytes

    def require_clean_end(self) -> None:
        """Reject data behind the last record of a segment that is not the newest."""
        if last_written(self._data, self.end) > self.end:
            self.reject(self.end, f"{self._damage.what}, in a segment that is not the newest")

    def reject(self, offset: int, what: str) -> NoReturn:
        raise corrupt_log_error(self.path, offset, what)

    def _require_not_synced(self, decoder: RecordDecoder) -> None:
        if self.end == SEGMENT_HEADER_BYTES:
            self.reject(self.end, f"{self._end_reason()}, although the first record is synced before the file is named")
        later = decoder.synced_by_later_record(self.end)
        if later is not None:
            self.reject(self.end, f"{self._end_reason()}, although the record at byte {later} was written later")

    def _end_reason(self) -> str:
        return self._damage.what if last_written(self._data, self.end) > self.end else "the records end"


def _decode_header(path: Path, data: bytes) -> SegmentHeader:
    if len(data) < SEGMENT_HEADER_BYTES:
        raise corrupt_log_error(path, len(data), f"the file ends within its header of {SEGMENT_HEADER_BYTES} bytes")
    content = data[: SEGMENT_HEADER_BYTES - _CHECKSUM.size]
    magic, version, previous_checksum, *position, resets_log, id_length = _FIELDS.unpack_from(content)
    sequence, base_index, base_term, previous_end = position
    if magic != _MAGIC or crc32(content) != SegmentHeader.checksum(data):
        raise corrupt_log_error(path, 0, "the segment's header does not match its checksum, or this is not a log file")
    if version != FORMAT_VERSION:
        raise StorageError(
            f"{path}: byte {len(_MAGIC)}: the log has format version {version}, this program reads {FORMAT_VERSION}; "
            "use the version of raft_pkg that wrote it"
        )
    try:
        node_id = content[_FIELDS.size : _FIELDS.size + id_length].decode()
    except UnicodeDecodeError:
        raise corrupt_log_error(path, _FIELDS.size, "the node's identity is not text") from None
    return SegmentHeader(sequence, base_index, base_term, resets_log, previous_end, previous_checksum, node_id)
