"""Sequence numbers of a client's commands (dissertation §6.3)."""

from collections.abc import Callable

from raft_pkg.rpc.requests import SESSION_RESPONSES_MAX, SESSION_TTL_SECONDS

SESSION_IDLE_SECONDS = SESSION_TTL_SECONDS / 4
"""After a longer pause a client opens a new session. The old one may have expired, and the outcome of a command whose
response is lost is then lost for good."""


class ClientSession:
    """Assigns sequence numbers from 1 and keeps the acknowledged low-water mark: no lower number is outstanding.

    `clock` returns seconds that never decrease.
    """

    def __init__(self, session_id: int, clock: Callable[[], float]) -> None:
        self.id = session_id
        self._clock = clock
        self._sent_at = clock()
        self._next = 1
        self._outstanding: set[int] = set()
        self._acknowledged_below = 1

    def next_sequence(self) -> int:
        """Assign a sequence number. Return 0 if the session is idle or full: the command then needs another one."""
        sequence = self._next
        if not self._outstanding or sequence - self._acknowledged_below >= SESSION_RESPONSES_MAX:
            idle = not self._outstanding and self._clock() - self._sent_at > SESSION_IDLE_SECONDS
            if idle or sequence - self._advance() >= SESSION_RESPONSES_MAX:
                return 0
        self._next = sequence + 1
        self._outstanding.add(sequence)
        return sequence

    def complete(self, sequence: int) -> None:
        """Record that the command has its outcome, or was given up."""
        self._outstanding.discard(sequence)

    def mark_sent(self) -> int:
        """Record that commands are sent now; return the acknowledged low-water mark to send with them."""
        self._sent_at = self._clock()
        return self._advance()

    def _advance(self) -> int:
        mark = self._acknowledged_below
        while mark < self._next and mark not in self._outstanding:
            mark += 1
        self._acknowledged_below = mark
        return mark
