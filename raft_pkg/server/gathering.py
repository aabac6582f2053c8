"""Commands that wait to be proposed, and for how long they wait for each other.

What a log entry costs hardly depends on how many commands it holds. So commands gather while entries are on their way
to a majority, and until those who have just got their answers have come back: each in a call of its own, perhaps. Not
for long, and not when they are many. Where there is one caller, nobody waits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from raft_pkg.rpc import raft_pb2 as pb

GATHER_SECONDS = 0.005
"""Commands wait at most so long for others."""
GATHER_BYTES = 32 * 1024
"""And not at all when they have this many bytes: then there is little left to be shared."""
ENTRY_BYTES_MAX = 1024 * 1024
"""A log entry takes no further command once its commands have reached this many bytes."""
COMMAND_OVERHEAD_BYTES = 64
"""What a command counts for besides its own bytes: empty ones take room too, in memory and in an entry."""


class Caller(Protocol):
    """Who waits for outcomes: a stream, or one unary call."""

    def settle(self, outcome: pb.Outcome) -> None:
        """Take one outcome; `flush` follows."""
        ...

    def flush(self) -> None:
        """All outcomes of this turn have been handed over: send them."""
        ...


@dataclass(slots=True)
class PendingCommand:
    """A command that a caller waits for."""

    caller: Caller
    request_id: int
    command: bytes
    """Or query; empty for a session that is to be opened."""
    size: int
    """Bytes that it counts for while it waits."""
    session_id: int = 0
    sequence: int = 0
    acknowledged: int = 0


class Gathering:
    """Commands in the order in which they came. Times are in seconds of the caller's clock."""

    def __init__(self) -> None:
        self._commands: list[PendingCommand] = []
        self._bytes = 0
        self._since = 0.0
        self._expected = 0
        self._expected_until = 0.0

    def add(self, command: PendingCommand, now: float) -> None:
        """One more waits."""
        if not self._commands:
            self._since = now
        self._commands.append(command)
        self._bytes += command.size

    def answered(self, count: int, now: float) -> None:
        """So many callers have got their answers, and may come back at once, besides those who wait already."""
        self._expected = max(self._expected, len(self._commands)) + count
        self._expected_until = now + GATHER_SECONDS

    def __len__(self) -> int:
        return len(self._commands)

    def wait_until(self, now: float, *, is_under_way: bool) -> float | None:
        """Until when the commands wait for others; None: no longer, or there are none."""
        due = self._since + GATHER_SECONDS
        if not is_under_way:
            due = min(due, self._expected_until) if len(self._commands) < self._expected else now
        return due if self._commands and now < due and self._bytes < GATHER_BYTES else None

    def take(self) -> Iterator[list[PendingCommand]]:
        """All of them, in as many entries as they take."""
        commands, self._commands = self._commands, []
        self._bytes = self._expected = 0
        start = 0
        while start < len(commands):
            stop, size = start, 0
            while stop < len(commands) and size < ENTRY_BYTES_MAX:
                size += commands[stop].size
                stop += 1
            yield commands[start:stop]
            start = stop

    def pending(self) -> list[PendingCommand]:
        """All of them, which stay."""
        return self._commands
