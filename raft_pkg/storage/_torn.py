"""Whether what is wrong at the end of a log is a write that a crash cut short, or damage.

Cutting off a torn write forgets nothing: nobody was promised anything that was not synced. Cutting off damage would
forget promises made to others. So a tail is cut off only when it *must* be a torn write, by these rules.

What is known to have been synced is no torn write. A segment's header and first record are synced before the file
gets its name; all of a segment is synced before the next one begins; `node.json` says how far the log was on disk when
it was last opened or closed, or had a segment added; every record says how far its segment had been synced when it
was written. Whatever is wrong before any of these positions is damage. In particular all batches but the last are
covered by what the next one says, whether or not the records between are valid.

Only what was written after the last sync that a later record or `node.json` bears witness to is open to doubt. Of
that, a crash leaves

- a prefix, when the process was killed in the middle of a write: from some byte on, there are zeros up to the end of
  the file, or the file ends;
- any choice of its sectors, when the machine lost power: a sector of 512 bytes (or any multiple) is either written or
  not, and where it was not, it reads as zeros, because a log file is only ever written at its end, into zeros or past
  the end of the file, and files are never used again.

What was written has no sector, and no sector's part at a record's beginning or end, that is all zeros, and ends in a
byte that is not zero (see `_record`). Therefore a record is torn if and only if one of its sectors, or its end, is
missing or all zeros. A record with a wrong checksum whose sectors are all there was changed after it was written: a
flipped bit, never a torn write. So was a header that is there and wrong.

What remains undecidable is a disk that loses whole sectors of the very last batch after having reported them synced,
while the process was killed before it wrote anything else. No format can tell that from a sector never written.
"""

from raft_pkg.storage._record import HEADER_BYTES, RECORD_BYTES_MIN, Damage

_SECTOR_BYTES = 512


def last_written(data: bytes, offset: int) -> int:
    """One past the last byte after an offset that is not zero; the offset when there is none."""
    return offset + len(data[offset:].rstrip(b"\0"))


def is_torn(data: bytes, offset: int, damage: Damage) -> bool:
    """Whether the bytes from an offset on, which nothing says had been synced, are a write cut short by a crash."""
    written_end = last_written(data, offset)
    if damage.end is not None:
        return written_end < damage.end or _has_unwritten_sector(data, offset, damage.end)
    if written_end < offset + RECORD_BYTES_MIN:
        return True
    return _has_unwritten_sector(data, offset, offset + HEADER_BYTES)


def _has_unwritten_sector(data: bytes, start: int, end: int) -> bool:
    """Whether a sector in which some of the bytes from `start` to `end` are is all zeros from `start` on."""
    position = start
    while position < end:
        sector_end = position - position % _SECTOR_BYTES + _SECTOR_BYTES
        if not data[position:sector_end].strip(b"\0"):
            return True
        position = sector_end
    return False
