"""Group commit: collect commands that wait to be proposed, so that many share one log entry.

The cost of a log entry hardly depends on its number of commands. Commands therefore wait while earlier entries are
being replicated, and until the clients that have just received outcomes have had time to send their next commands. The
wait is bounded by time and by bytes. A single client never waits.
"""

from collections.abc import Iterator

from raft_pkg.server.pending import ENTRY_BYTES_MAX, PendingRequests

BATCH_SECONDS_MAX = 0.005
"""Longest time that a command waits for others, in seconds."""
BATCH_BYTES = 32 * 1024
"""A batch of this many bytes is proposed at once: waiting would save little."""


class Batcher:
    """A queue of commands in order of arrival. Times are in seconds of the node's monotonic clock."""

    def __init__(self) -> None:
        self._queue: list[PendingRequests] = []
        self._count = 0
        self._bytes = 0
        self._since = 0.0
        """When the oldest command was queued."""
        self._expected = 0
        """Number of commands to wait for, until `_expected_until`."""
        self._expected_until = 0.0

    def add(self, commands: PendingRequests, now: float) -> None:
        """Queue commands."""
        if not self._queue:
            self._since = now
        self._queue.append(commands)
        self._count += len(commands)
        self._bytes += commands.size

    def expect_more(self, count: int, now: float) -> None:
        """Expect `count` further commands: as many have just been completed, and their clients may send new ones."""
        self._expected = max(self._expected, self._count) + count
        self._expected_until = now + BATCH_SECONDS_MAX

    def __len__(self) -> int:
        return self._count

    def wait_until(self, now: float, *, is_replicating: bool) -> float | None:
        """Return the time until which the queued commands wait for more; None if they are due or there are none."""
        due = self._since + BATCH_SECONDS_MAX
        if not is_replicating:
            due = min(due, self._expected_until) if self._count < self._expected else now
        return due if self._queue and now < due and self._bytes < BATCH_BYTES else None

    def take(self) -> Iterator[list[PendingRequests]]:
        """Empty the queue; yield the commands of one log entry after the other."""
        queue, self._queue = self._queue, []
        self._count = self._bytes = self._expected = 0
        start = 0
        while start < len(queue):
            stop, size = start + 1, queue[start].size
            while stop < len(queue) and size + queue[stop].size <= ENTRY_BYTES_MAX:
                size += queue[stop].size
                stop += 1
            yield queue[start:stop]
            start = stop

    def pending(self) -> list[PendingRequests]:
        """Return the queued commands, which stay queued."""
        return self._queue
