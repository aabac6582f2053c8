"""The interface that an application implements."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol


class StateMachine(Protocol):
    """A deterministic state machine: its state depends only on the commands applied, not on time or random numbers.

    One task calls all methods. Docs: docs/how-to/state-machine.md.
    """

    def apply(self, commands: Sequence[bytes]) -> list[bytes]:
        """Apply committed commands in order; return one result for each.

        The method must not raise, whatever the bytes: a committed command is applied on every node, and again after
        every restart.
        """
        ...

    def query(self, query: bytes) -> bytes:
        """Answer a read without changing the state. The method must not raise, whatever the bytes."""
        ...

    def snapshot(self) -> Iterator[bytes]:
        """Capture the present state, and return an iterator over its serialized chunks (§7).

        The call must be fast, since requests wait for it: copy mutable data, share immutable data. The chunks are
        consumed later, interleaved with `apply`, and must represent the state at the time of the call. Chunks may have
        any size up to a few hundred KiB. Equal states must serialize to equal bytes on all nodes.
        """
        ...

    def restore(self, chunks: Iterable[bytes]) -> None:
        """Replace the state by a snapshot: the bytes that `snapshot` yielded, in chunks of different sizes.

        Raise `ValueError` with the offset if the bytes are not a valid snapshot.
        """
        ...
