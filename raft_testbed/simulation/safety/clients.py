"""The guarantees that clients get: durable writes, exactly-once commands in sessions, and reads that are not stale."""

from collections.abc import Sequence

from raft_testbed.simulation.safety.commits import CommitChecker
from raft_testbed.simulation.safety.violation import (
    ACKNOWLEDGED_WRITES,
    AT_MOST_ONCE,
    EXPIRED_SESSION,
    READS,
    Violation,
)


class ClientChecker:
    """Checks outcomes against the committed entries. Owns what each command's client knows of it."""

    def __init__(self, commits: CommitChecker) -> None:
        self.acknowledged_index = 0
        """The highest index of an outcome that any client has received."""
        self._commits = commits
        self._sent_once: set[bytes] = set()
        self._committed_at: dict[bytes, int] = {}
        self._applied_as: dict[bytes, int] = {}
        self._expired: set[bytes] = set()

    def command_sent_once(self, command: bytes) -> None:
        """Record a unique command that must be applied at most once."""
        self._sent_once.add(command)

    def session_expired(self, command: bytes) -> None:
        """Record that a client is informed that the session of a command has expired."""
        if command not in self._applied_as:
            self._expired.add(command)

    def command_renewed(self, command: bytes) -> None:
        """Record that a client sends a command, which was not applied, again in another session."""
        self._expired.discard(command)

    def outcome_received(self, index: int) -> None:
        """Record that a client knows the outcome of a command or query as of `index`."""
        self.acknowledged_index = max(self.acknowledged_index, index)

    def check_committed(self, index: int, commands: Sequence[bytes]) -> None:
        """Check that commands that take effect at `index` have not taken effect before."""
        for command in commands:
            first = self._committed_at.setdefault(command, index)
            if first != index and command in self._sent_once:
                raise Violation(AT_MOST_ONCE, f"a command that was sent once is committed at {first} and {index}")

    def check_applied(self, node: str, count: int, command: bytes) -> None:
        """Check that the `count`-th command of a state machine is not a repeat, nor of an expired session."""
        if command not in self._sent_once:
            return
        if command in self._expired:
            raise Violation(EXPIRED_SESSION, f"{node} applies {command!r}, whose session was reported as expired")
        first = self._applied_as.setdefault(command, count)
        if first != count:
            raise Violation(AT_MOST_ONCE, f"{command!r} is applied as command {first}, and by {node} as {count}")

    def check_acknowledged_write(self, node: str, command: bytes, index: int) -> None:
        """Check that a command that a node acknowledges is committed at the index of the outcome."""
        committed = self._commits.at(index)
        if committed is None or command not in committed.commands:
            raise Violation(
                ACKNOWLEDGED_WRITES,
                f"{node} acknowledges a write at index {index}, where that write is not committed",
                node,
            )

    def check_read(self, node: str, index: int, acknowledged_before: int) -> None:
        """Check that a read at `index` sees every outcome that any client had received before the read began."""
        if index < acknowledged_before:
            raise Violation(
                READS,
                f"{node} serves a read as of index {index}; {acknowledged_before} was acknowledged before it began",
                node,
            )
