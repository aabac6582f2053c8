"""A digest of all that a node has applied, by which nodes that have applied as much can be compared (State Machine
Safety, Figure 3).

Each entry is chained to those before it: its place, its bytes, and what its commands came to. So an entry that is left
out, replaced or applied again makes another digest for ever, and so does a state that differs, from the first answer on
that shows it. It costs a microsecond an entry and a nanosecond a byte, however large the state is. As part of the
snapshot it is the same on a node that was not there for the entries.
"""

import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

from raft_pkg.core.types import Entry

if TYPE_CHECKING:
    from raft_pkg.server.sessions import Applied

DIGEST_BYTES = 16
STATE_HASH_INTERVAL = 1000
"""Nodes tell the digest of every index that this number divides: at the same indexes, so that they can be compared."""
IDLE_SECONDS = 1.0
"""And when nothing was applied for so long, in seconds: after a burst all come to rest at the same index."""

_NUMBERS = struct.Struct(">QQQ")  # the entry's index, the session that it opened, the sum of its outcomes' indexes


class StateHash:
    """The digest after the newest entry that was applied."""

    def __init__(self) -> None:
        self.digest = bytes(DIGEST_BYTES)

    def add(self, entry: Entry, session_id: int, applied: "Sequence[Applied]") -> None:
        """An entry was applied: it opened this session (0: none), and this is what became of its commands."""
        numbers = _NUMBERS.pack(entry.index, session_id, sum([outcome.index for outcome in applied]))
        results = [outcome.result for outcome in applied]
        link = blake2b(b"".join([self.digest, numbers, *results]), digest_size=DIGEST_BYTES)
        link.update(entry.data)
        self.digest = link.digest()

    def __str__(self) -> str:
        return self.digest.hex()
