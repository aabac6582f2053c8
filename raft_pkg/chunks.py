"""Reading back what was written as one row of bytes and comes in chunks that are cut anywhere, as snapshots do."""

from collections.abc import Iterable, Iterator


class ChunkReader:
    """Takes a given number of bytes after another; holds no more of them than the caller asked for, and one chunk."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.offset = 0  # of the next byte, from where the reader began
        self._chunks = iter(chunks)
        self._chunk = b""
        self._start = 0  # of what was not taken yet, in the chunk

    def take(self, size: int, what: str) -> bytes:
        """The next `size` bytes. Raises `ValueError`, naming place and `what` they were to be, when there are fewer."""
        taken = self._chunk[self._start : self._start + size]
        self._start += len(taken)
        if len(taken) < size:
            taken = self._gather(taken, size, what)
        self.offset += size
        return taken

    def rest(self) -> Iterator[bytes]:
        """All that was not taken, in chunks; the reader is at its end then."""
        if self._start < len(self._chunk):
            yield self._chunk[self._start :]
        self._chunk, self._start = b"", 0
        yield from self._chunks

    def expect_end(self) -> None:
        """Raise `ValueError`, naming the place, when there are more bytes."""
        if any(self.rest()):
            raise ValueError(f"offset {self.offset}: the state ends here, and more bytes follow")

    def _gather(self, taken: bytes, size: int, what: str) -> bytes:
        """Go on in the next chunks, until there are enough."""
        parts, missing = [taken], size - len(taken)
        while missing:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise ValueError(f"offset {self.offset}: {size} bytes of {what}, and only {size - missing} are there")
            parts.append(chunk[:missing])
            self._chunk, self._start = chunk, len(parts[-1])
            missing -= len(parts[-1])
        return b"".join(parts)
