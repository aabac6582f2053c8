"""What an application gives to Raft."""

from collections.abc import Sequence
from typing import Protocol


class StateMachine(Protocol):
    """Deterministic: it reads no clock, draws no chance and looks at nothing but its own state and its input."""

    def apply(self, commands: Sequence[bytes]) -> list[bytes]:
        """Apply committed commands in order; returns one answer each.

        Must not raise on any bytes: a command in the log reaches every node, and comes again at every restart.
        """
        ...

    def query(self, query: bytes) -> bytes:
        """Answer a read; changes nothing."""
        ...
