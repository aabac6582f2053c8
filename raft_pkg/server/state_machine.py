"""What an application gives to Raft."""

from collections.abc import Iterable, Iterator, Sequence
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

    def snapshot(self) -> Iterator[bytes]:
        """Capture the state as it is now, and yield it as bytes, in chunks of any size up to some hundred KiB (§7).

        The call itself must be quick (copy what is shared, share what never changes): the service waits for it. The
        chunks are taken one by one later, while `apply` goes on; they must show the state as it was at the call.
        Same state, same bytes, on every node.
        """
        ...

    def restore(self, chunks: Iterable[bytes]) -> None:
        """Replace the state by what `snapshot` yielded: the same bytes in the same order, cut anywhere.

        Raises `ValueError`, naming the place, when the bytes are not such a state.
        """
        ...
