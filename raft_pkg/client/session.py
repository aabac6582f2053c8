"""The numbers by which a cluster knows a client's commands (dissertation §6.3)."""

from collections.abc import Callable

from raft_pkg.rpc.sessions import SESSION_RESPONSES_MAX, SESSION_TTL_SECONDS

SESSION_IDLE_SECONDS = SESSION_TTL_SECONDS / 4
"""After a longer pause a client begins a new session. In an old one the next command might find it expired, and a
command whose answer is lost then is lost for good."""


class Session:
    """Numbers commands from 1 on, and knows below which number nobody waits for an outcome."""

    def __init__(self, session_id: int, clock: Callable[[], float]) -> None:
        self.id = session_id
        self._clock = clock
        self._written_at = clock()
        self._next = 1
        self._waiting: set[int] = set()
        self._acknowledged_below = 1

    def begin(self) -> int:
        """Number a command; 0: it must take another session, this one was not used for long, or is full."""
        sequence = self._next
        if not self._waiting or sequence - self._acknowledged_below >= SESSION_RESPONSES_MAX:
            idle = not self._waiting and self._clock() - self._written_at > SESSION_IDLE_SECONDS
            if idle or sequence - self._advance() >= SESSION_RESPONSES_MAX:
                return 0
        self._next = sequence + 1
        self._waiting.add(sequence)
        return sequence

    def end(self, sequence: int) -> None:
        """Nobody waits for that command any more: it has its outcome, or was given up."""
        self._waiting.discard(sequence)

    def written(self) -> int:
        """Commands are about to leave; returns the number below which nobody waits for an outcome."""
        self._written_at = self._clock()
        return self._advance()

    def _advance(self) -> int:
        mark = self._acknowledged_below
        while mark < self._next and mark not in self._waiting:
            mark += 1
        self._acknowledged_below = mark
        return mark
