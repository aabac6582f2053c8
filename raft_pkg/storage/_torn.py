"""Distinguish a torn write, which a crash cut short, from damage at the end of a log.

Cutting off a torn write loses nothing that was acknowledged, because it was never synced. Cutting off damage could lose
acknowledged entries. Therefore a tail is cut off only when it *must* be a torn write, by the following rules.

Data that is known to have been synced is not torn. A segment's header and first record are synced before the file gets
its name; a whole segment is synced before the next one begins; `node.json` gives the end of the log when it was last
opened or closed, or had a segment added; every record gives the offset up to which its segment was synced when the
record was written. Anything invalid before one of these positions is damage. In particular, the next batch covers every
batch but the last, whether or not the records in between are valid.

Only data written after the last sync that a later record or `node.json` attests can be torn. Of that data a crash
leaves

- a prefix, when the process was killed in the middle of a write: from some byte on there are zeros up to the end of the
  file, or the file ends;
- any subset of its sectors, when the machine lost power: a sector of 512 bytes (or a multiple) is either written or
  not. An unwritten sector reads as zeros, because a log file is written only at its end, into zeros or past the end of
  the file, and files are never reused.

No written sector, and no part of a sector at a record's start or end, is all zeros, and a record ends in a nonzero byte
(see `_record`). Therefore a record is torn if and only if one of its sectors, or its end, is missing or all zeros. A
record with a wrong checksum of which all sectors are present was changed after it was written: by a flipped bit, never
by a torn write. The same holds for a header that is present and invalid.

One case is undecidable: a disk that loses whole sectors of the very last batch after it reported them synced, when the
process was killed before it wrote anything else. No format can distinguish that from a sector that was never written.
"""

from raft_pkg.storage._record import HEADER_BYTES, RECORD_BYTES_MIN, Damage

_SECTOR_BYTES = 512


def last_written(data: bytes, offset: int) -> int:
    """Return the end of the nonzero bytes from `offset` on; `offset` when there are none."""
    return offset + len(data[offset:].rstrip(b"\0"))


def is_torn(data: bytes, offset: int, damage: Damage) -> bool:
    """Return whether the bytes from `offset` on, which nothing attests to be synced, are a torn write."""
    written_end = last_written(data, offset)
    if damage.end is not None:
        return written_end < damage.end or _has_unwritten_sector(data, offset, damage.end)
    if written_end < offset + RECORD_BYTES_MIN:
        return True
    return _has_unwritten_sector(data, offset, offset + HEADER_BYTES)


def _has_unwritten_sector(data: bytes, start: int, end: int) -> bool:
    """Return whether any sector overlapping `start` to `end` is all zeros, ignoring bytes before `start`."""
    position = start
    while position < end:
        sector_end = position - position % _SECTOR_BYTES + _SECTOR_BYTES
        if not data[position:sector_end].strip(b"\0"):
            return True
        position = sector_end
    return False
