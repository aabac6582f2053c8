"""The outcome of an applied command."""

from dataclasses import dataclass


@dataclass(slots=True)
class Applied:
    """The outcome of one command."""

    result: bytes
    """Result of the state machine."""
    index: int
    """Index of the entry that applied the command first."""
    expired: bool = False
    """Whether the command was not applied and never will be: its session has expired, or the client acknowledged it."""
