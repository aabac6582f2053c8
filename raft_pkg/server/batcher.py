"""Commands that wait to be proposed, and for how long they wait for each other.

What a log entry costs hardly depends on how many commands it holds. So commands gather while entries are on their way
to a majority, and until those who have just got their answers have come back: each in a call of its own, perhaps. Not
for long, and not when they are many. Where there is one caller, nobody waits.
"""

from collections.abc import Iterator

from raft_pkg.server.pending import ENTRY_BYTES_MAX, PendingRequests

GATHER_SECONDS = 0.005
"""Commands wait at most so long for others."""
GATHER_BYTES = 32 * 1024
"""And not at all when they have this many bytes: then there is little left to be shared."""


class Gathering:
    """Commands in the order in which they came. Times are in seconds of the caller's clock."""

    def __init__(self) -> None:
        self._commands: list[PendingRequests] = []
        self._count = 0
        self._bytes = 0
        self._since = 0.0
        self._expected = 0
        self._expected_until = 0.0

    def add(self, commands: PendingRequests, now: float) -> None:
        """More wait."""
        if not self._commands:
            self._since = now
        self._commands.append(commands)
        self._count += len(commands)
        self._bytes += commands.size

    def answered(self, count: int, now: float) -> None:
        """So many callers have got their answers, and may come back at once, besides those who wait already."""
        self._expected = max(self._expected, self._count) + count
        self._expected_until = now + GATHER_SECONDS

    def __len__(self) -> int:
        return self._count

    def wait_until(self, now: float, *, is_under_way: bool) -> float | None:
        """Until when the commands wait for others; None: no longer, or there are none."""
        due = self._since + GATHER_SECONDS
        if not is_under_way:
            due = min(due, self._expected_until) if self._count < self._expected else now
        return due if self._commands and now < due and self._bytes < GATHER_BYTES else None

    def take(self) -> Iterator[list[PendingRequests]]:
        """All of them, in as many entries as they take."""
        commands, self._commands = self._commands, []
        self._count = self._bytes = self._expected = 0
        start = 0
        while start < len(commands):
            stop, size = start + 1, commands[start].size
            while stop < len(commands) and size + commands[stop].size <= ENTRY_BYTES_MAX:
                size += commands[stop].size
                stop += 1
            yield commands[start:stop]
            start = stop

    def pending(self) -> list[PendingRequests]:
        """All of them, which stay."""
        return self._commands
