"""One file of the log: its header, and reading its records up to the place where they end.

    header    512 bytes   magic, format version, segment number, index and term of the last entry before it, whether
                          the log begins anew after that entry, where and with which checksum the segment before ended,
                          the node's identity, checksum
    records               see `_record`; the first one is the hard state as it was when the segment was begun
    zeros                 space written ahead, so that a sync need not change the file's size each time

Segments are numbered from 1 on, without gaps. A file gets its name only when header and first record are on disk.

The log begins anew when a snapshot was installed of which it did not have the last entry: the entries of all segments
before are void then (paper §7, Figure 13).
"""

from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import NamedTuple, NoReturn
from zlib import crc32

from raft_pkg.core.types import Entry, HardState
from raft_pkg.errors import StorageError
from raft_pkg.storage._errors import corrupt_log_error
from raft_pkg.storage._record import SEGMENT_BYTES_MAX, Damage, ImpossibleRecordError, Record, RecordDecoder
from raft_pkg.storage._torn import is_torn, last_written

FORMAT_VERSION = 2
SEGMENT_HEADER_BYTES = 512
NODE_ID_BYTES_MAX = 255

_MAGIC = b"RAFTLOG\n"
_FIELDS = Struct("<8sIIQQQQ?H")
_CHECKSUM = Struct("<I")
_FILLER = bytes(SEGMENT_HEADER_BYTES)


class SegmentHeader(NamedTuple):
    """What a segment says of itself and of the one before."""

    sequence: int
    base_index: int  # of the last entry when the segment was begun; 0: there was none
    base_term: int  # its term
    anew: bool  # the log goes on after that entry, whatever the segments before say
    previous_end: int  # where the records of the segment before ended; 0 in the first
    previous_checksum: int  # of the last record of the segment before; 0 in the first
    node_id: str

    def encode(self) -> bytes:
        node_id = self.node_id.encode()
        fields = _FIELDS.pack(
            _MAGIC, FORMAT_VERSION, self.previous_checksum, self.sequence, self.base_index, self.base_term,
            self.previous_end, self.anew, len(node_id),
        )  # fmt: skip
        content = (fields + node_id + _FILLER)[: SEGMENT_HEADER_BYTES - _CHECKSUM.size]
        return content + _CHECKSUM.pack(crc32(content))

    @staticmethod
    def checksum(encoded: bytes) -> int:
        """The checksum that the segment's first record holds as that of the record before."""
        (checksum,) = _CHECKSUM.unpack_from(encoded, SEGMENT_HEADER_BYTES - _CHECKSUM.size)
        return int(checksum)


class KeptSegment(NamedTuple):
    """What compaction needs to know of a segment that another one follows."""

    sequence: int
    highest_index: int  # of the entries in it, also those that later ones replaced; 0: none


class SegmentReader:
    """Reads one segment. After `records` has come to its end, `end` and `checksum` tell where and how it ended.

    `highest_index` is that of the entries in it, also of those that later ones replaced; 0: there are none.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        if len(data) > SEGMENT_BYTES_MAX:
            raise corrupt_log_error(path, SEGMENT_BYTES_MAX, "the file is longer than a segment can be")
        self.path = path
        self.header = _decode_header(path, data)
        self.checksum = SegmentHeader.checksum(data)
        self.end = SEGMENT_HEADER_BYTES
        self.highest_index = 0
        self.size = len(data)
        self._data = data
        self._damage = Damage("the file ends", None)

    def records(self) -> Iterator[Record]:
        """The valid records in order, up to the first place where there is none."""
        decoder = RecordDecoder(self._data, self.header.sequence)
        while True:
            try:
                record = decoder.decode(self.end, self.checksum)
            except ImpossibleRecordError as error:
                self.refuse(self.end, str(error))
            if isinstance(record, Damage):
                self._damage = record
                break
            if record.offset == SEGMENT_HEADER_BYTES and not isinstance(record.value, HardState):
                self.refuse(record.offset, "the segment does not begin with a hard state")
            self.end = record.end
            self.checksum = record.checksum
            if isinstance(record.value, Entry) and record.value.index > self.highest_index:
                self.highest_index = record.value.index
            yield record
        self._require_not_synced(decoder)

    def require_synced_up_to(self, offset: int, witness: str) -> None:
        """Refuse the segment when its records end before a position that is known to have been on disk."""
        if self.end < offset:
            self.refuse(self.end, f"{self._what_is_wrong()}, although {witness} that byte {offset} was reached")

    def torn_bytes(self) -> int:
        """How much of a write that a crash cut short is to be cut off; refuses damage. For the newest segment."""
        torn_bytes = last_written(self._data, self.end) - self.end
        if torn_bytes and not is_torn(self._data, self.end, self._damage):
            self.refuse(self.end, f"{self._damage.what}, and all of its sectors are there")
        return torn_bytes

    def require_clean_end(self) -> None:
        """Refuse anything behind the last record. For a segment that another one follows."""
        if last_written(self._data, self.end) > self.end:
            self.refuse(self.end, f"{self._damage.what}, in a segment that is not the newest")

    def refuse(self, offset: int, what: str) -> NoReturn:
        raise corrupt_log_error(self.path, offset, what)

    def _require_not_synced(self, decoder: RecordDecoder) -> None:
        if self.end == SEGMENT_HEADER_BYTES:
            self.refuse(self.end, f"{self._what_is_wrong()}, although a file has its first record before its name")
        witness = decoder.synced_by_later_record(self.end)
        if witness is not None:
            self.refuse(self.end, f"{self._what_is_wrong()}, although the record at byte {witness} was written later")

    def _what_is_wrong(self) -> str:
        return self._damage.what if last_written(self._data, self.end) > self.end else "the records end"


def _decode_header(path: Path, data: bytes) -> SegmentHeader:
    if len(data) < SEGMENT_HEADER_BYTES:
        raise corrupt_log_error(path, len(data), f"the file ends within its header of {SEGMENT_HEADER_BYTES} bytes")
    content = data[: SEGMENT_HEADER_BYTES - _CHECKSUM.size]
    magic, version, previous_checksum, *position, anew, id_length = _FIELDS.unpack_from(content)
    sequence, base_index, base_term, previous_end = position
    if magic != _MAGIC or crc32(content) != SegmentHeader.checksum(data):
        raise corrupt_log_error(path, 0, "the segment's header does not match its checksum, or this is no log file")
    if version != FORMAT_VERSION:
        raise StorageError(
            f"{path}: byte {len(_MAGIC)}: the log has format version {version}, this program reads {FORMAT_VERSION}; "
            "use the version of raft_pkg that wrote it"
        )
    try:
        node_id = content[_FIELDS.size : _FIELDS.size + id_length].decode()
    except UnicodeDecodeError:
        raise corrupt_log_error(path, _FIELDS.size, "the node's identity is not text") from None
    return SegmentHeader(sequence, base_index, base_term, anew, previous_end, previous_checksum, node_id)
