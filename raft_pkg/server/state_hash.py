"""A digest of all applied entries, to compare nodes with equal applied indexes (State Machine Safety, Figure 3).

The digest is a hash chain over each entry's index, bytes and results. An entry that is skipped, replaced or applied
twice therefore changes all later digests, and so does a diverging state as soon as a result reveals it. The cost is
about a microsecond per entry and a nanosecond per byte, independent of the size of the state. Snapshots contain the
digest, so that it also matches on nodes that did not apply the entries themselves.
"""

import struct
from collections.abc import Sequence
from hashlib import blake2b

from raft_pkg.core.types import Entry
from raft_pkg.server.applied import Applied

DIGEST_BYTES = 16
STATE_HASH_INTERVAL = 1000
"""Nodes log the digest at multiples of this index, so that their logs can be compared."""
IDLE_SECONDS = 1.0
"""Nodes also log the digest after applying nothing for this long, in seconds: they then rest at the same index."""

_NUMBERS = struct.Struct(">QQQ")  # the entry's index, the session that it opened, the sum of its results' indexes


class StateHash:
    """The digest of all entries up to the applied index."""

    def __init__(self) -> None:
        self.digest = bytes(DIGEST_BYTES)

    def add(self, entry: Entry, session_id: int, applied: Sequence[Applied]) -> None:
        """Add an applied entry, the session it opened (0: none) and the results of its commands."""
        numbers = _NUMBERS.pack(entry.index, session_id, sum([outcome.index for outcome in applied]))
        results = [outcome.result for outcome in applied]
        link = blake2b(b"".join([self.digest, numbers, *results]), digest_size=DIGEST_BYTES)
        link.update(entry.data)
        self.digest = link.digest()

    def __str__(self) -> str:
        return self.digest.hex()
