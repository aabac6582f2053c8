"""Encode and decode the records of a segment.

    header    56 bytes   magic, type, entry kind, flags, lengths, checksum of the previous record, position (segment,
                         offset), offset up to which the segment was synced when the record was written, index, term,
                         checksum of the header
    data                 an entry's data, or the vote of a hard state
    padding   0-7 bytes  zeros, so that records start at multiples of eight
    trailer    8 bytes   checksum of data and padding, seeded with the header's checksum; end mark

Recovery (see `_torn`) relies on these properties:

- Bytes that were never written are zeros, and an all-zero header is invalid, so the end of the log needs no mark.
- No written sector of 512 bytes, and no part of a sector at a record's start or end, is all zeros: magic and end mark
  contain no zero byte, and long runs of zeros in the data are escaped.
- A header contains its own position, so a copy of a record inside an entry's data is not mistaken for a record.
- A header has its own checksum, so a damaged length is never used.
- Each record contains the checksum of the previous one, and a segment's header that of the previous segment: a missing
  record or segment, or one of another log, breaks the chain.

The checksum is zlib's CRC-32. CRC-32C would need a library and save 7 µs per 64 KiB, a tenth of the following sync.
"""

from struct import Struct
from typing import NamedTuple
from zlib import crc32

from raft_pkg.core.types import Entry, EntryKind, HardState

DATA_BYTES_MAX = 64 << 20
SEGMENT_BYTES_MAX = 1 << 30

_MAGIC = b"\xd3RLg"
_END_MARK = b"\xc5\xa7\xe3\x9b"
_HEADER = Struct("<4sBBBxIIIQIIQQ")
_CHECKSUM = Struct("<I")
_TRAILER = Struct("<I4s")
HEADER_BYTES = _HEADER.size + _CHECKSUM.size
RECORD_BYTES_MIN = HEADER_BYTES + _TRAILER.size

_PADDING = tuple(bytes(-length % 8) for length in range(8))
_ZERO_RUN = bytes(64)
_ESCAPE = b"\x1b"
_ESCAPED_ESCAPE = b"\x1b\x01"
_ESCAPED_ZERO_RUN = b"\x1b\x02"
# Types of records. Plain numbers: an enum would cost a fifth of the time that reading a log takes.
_HARD_STATE = 1
_ENTRY = 2
# Flags of records.
_VOTED = 1  # of a hard state: the data is the vote; unset: no vote
_ESCAPED = 2  # the data is escaped

_ENTRY_KINDS = {int(kind): kind for kind in EntryKind}


class Record(NamedTuple):
    """A valid record."""

    offset: int  # in its segment's file
    end: int  # offset of the first byte after it
    checksum: int  # of the whole record; repeated in the next record
    value: HardState | Entry


class Damage(NamedTuple):
    """Describes why the bytes at an offset are not a record."""

    what: str
    end: int | None  # offset of the record's end; None when its header is damaged


def _escape(data: bytes) -> bytes:
    return data.replace(_ESCAPE, _ESCAPED_ESCAPE).replace(_ZERO_RUN, _ESCAPED_ZERO_RUN)


def _unescape(data: bytes, length_max: int) -> bytes:
    zero_runs = data.count(_ESCAPED_ZERO_RUN)
    length = len(data) - data.count(_ESCAPED_ESCAPE) + zero_runs * (len(_ZERO_RUN) - len(_ESCAPED_ZERO_RUN))
    if length > length_max:  # allocate no more than the header announces
        raise InvalidRecordError(f"a record's data expands to more than {length_max} bytes")
    return data.replace(_ESCAPED_ZERO_RUN, _ZERO_RUN).replace(_ESCAPED_ESCAPE, _ESCAPE)


class BatchEncoder:
    """Encodes the records of one write into buffers, without copying the data of entries."""

    __slots__ = ("_sequence", "_synced", "buffers", "checksum", "end")

    def __init__(self, sequence: int, end: int, synced: int, checksum: int) -> None:
        self.buffers: list[bytes] = []
        self.end = end
        self.checksum = checksum
        self._sequence = sequence
        self._synced = synced

    def add_hard_state(self, state: HardState) -> None:
        vote = b"" if state.voted_for is None else state.voted_for.encode()
        flags = 0 if state.voted_for is None else _VOTED
        self._add(_HARD_STATE, vote, kind=0, flags=flags, length=len(vote), index=0, term=state.current_term)

    def add_entry(self, entry: Entry) -> None:
        data = entry.data
        length = len(data)
        flags = 0
        if _ZERO_RUN in data:
            data = _escape(data)
            flags = _ESCAPED
        self._add(_ENTRY, data, kind=entry.kind, flags=flags, length=length, index=entry.index, term=entry.term)

    def _add(self, record_type: int, data: bytes, *, kind: int, flags: int, length: int, index: int, term: int) -> None:
        if length > DATA_BYTES_MAX:
            raise ValueError(f"the data of entry {index} has {length} bytes; the limit is {DATA_BYTES_MAX}")
        stored = len(data)
        header = _HEADER.pack(
            _MAGIC, record_type, kind, flags, stored, length, self.checksum,
            self._sequence, self.end, self._synced, index, term,
        )  # fmt: skip
        header_checksum = crc32(header)
        padding = _PADDING[stored & 7]
        checksum = crc32(padding, crc32(data, header_checksum))
        trailer = padding + _TRAILER.pack(checksum, _END_MARK)
        self.buffers += (header + _CHECKSUM.pack(header_checksum), data, trailer)
        self.checksum = checksum
        self.end += HEADER_BYTES + stored + len(trailer)
        if self.end > SEGMENT_BYTES_MAX:
            raise ValueError(f"the entries of one append exceed the limit of {SEGMENT_BYTES_MAX} bytes per segment")


class RecordDecoder:
    """Decodes the records of one segment, given its bytes and sequence number."""

    def __init__(self, data: bytes, sequence: int) -> None:
        self._data = data
        self._view = memoryview(data)
        self._sequence = sequence

    def decode(self, offset: int, previous: int) -> Record | Damage:
        """Decode the record at an offset. `previous` is the checksum of the record before it.

        Raise `InvalidRecordError`.
        """
        header = self._header(offset)
        if isinstance(header, Damage):
            return header
        if (header.sequence, header.offset) != (self._sequence, offset):
            raise InvalidRecordError("a record with a valid header belongs to another position")
        if header.previous != previous:
            raise InvalidRecordError("a record with a valid header does not follow the previous record")
        if header.synced > offset:
            raise InvalidRecordError("a record with a valid header claims that more was synced than was written")
        data_start = offset + HEADER_BYTES
        trailer_start = data_start + header.stored + (-header.stored & 7)
        end = trailer_start + _TRAILER.size
        if end > len(self._data):
            return Damage("the file ends in the middle of a record", end)
        checksum = crc32(self._view[data_start:trailer_start], header.checksum)
        if _TRAILER.unpack_from(self._data, trailer_start) != (checksum, _END_MARK):
            return Damage("a record's data does not match its checksum", end)
        value = _decode_value(header, self._data[data_start : data_start + header.stored])
        return Record(offset, end, checksum, value)

    def synced_by_later_record(self, offset: int) -> int | None:
        """Return the offset of a later record with a valid header that claims that `offset` had been synced, or None.

        Such a header proves that the bytes at `offset` were once valid on disk.
        """
        position = offset
        while (position := self._data.find(_MAGIC, position + 1)) >= 0:
            header = self._header(position)
            if isinstance(header, Damage) or (header.sequence, header.offset) != (self._sequence, position):
                continue
            if header.synced > offset:
                return position
        return None

    def _header(self, offset: int) -> "_Header | Damage":
        end_of_fields = offset + _HEADER.size
        if offset + HEADER_BYTES > len(self._data):
            return Damage("the file ends in the middle of a record's header", None)
        (checksum,) = _CHECKSUM.unpack_from(self._data, end_of_fields)
        if crc32(self._view[offset:end_of_fields]) != checksum or not self._data.startswith(_MAGIC, offset):
            return Damage("a record's header does not match its checksum", None)
        return _Header._make((*_HEADER.unpack_from(self._data, offset), checksum))


class _Header(NamedTuple):
    magic: bytes
    type: int
    kind: int  # of an entry
    flags: int
    stored: int  # length of the data in the file
    length: int  # length of the data before escaping
    previous: int  # checksum of the previous record, or of the segment's header
    sequence: int  # of the segment
    offset: int  # of this record in its file
    synced: int  # the segment was synced up to this offset when the record was written
    entry_index: int
    term: int
    checksum: int  # of all fields above


class InvalidRecordError(Exception):
    """A record with valid checksums has contents that this program never writes at this position."""


def _decode_value(header: _Header, data: bytes) -> HardState | Entry:
    if header.type == _ENTRY:
        return _decode_entry(header, data)
    if header.type == _HARD_STATE:
        try:
            return HardState(header.term, data.decode() if header.flags & _VOTED else None)
        except UnicodeDecodeError:
            raise InvalidRecordError("the vote of a hard state is not text") from None
    raise InvalidRecordError(f"a record has the unknown type {header.type}")


def _decode_entry(header: _Header, data: bytes) -> Entry:
    if header.flags & _ESCAPED:
        data = _unescape(data, min(header.length, DATA_BYTES_MAX))
    if len(data) != header.length:
        raise InvalidRecordError(f"the data of entry {header.entry_index} does not have the length in its header")
    if header.kind not in _ENTRY_KINDS:
        raise InvalidRecordError(f"entry {header.entry_index} has the unknown kind {header.kind}")
    return Entry(header.entry_index, header.term, _ENTRY_KINDS[header.kind], data)
