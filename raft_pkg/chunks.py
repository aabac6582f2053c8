"""Read fields of known length from a byte stream that arrives in chunks of any length, such as a snapshot."""

from collections.abc import Iterable, Iterator


class ChunkReader:
    """Reads consecutive fields. Holds the field being read and at most one chunk."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.offset = 0  # of the next byte, from the beginning of the stream
        self._chunks = iter(chunks)
        self._chunk = b""
        self._start = 0  # offset in the chunk of the first byte not yet read

    def take(self, size: int, what: str) -> bytes:
        """Return the next `size` bytes. `what` names them in the `ValueError` that is raised when fewer remain."""
        taken = self._chunk[self._start : self._start + size]
        self._start += len(taken)
        if len(taken) < size:
            taken = self._gather(taken, size, what)
        self.offset += size
        return taken

    def rest(self) -> Iterator[bytes]:
        """Yield the remaining bytes in chunks; the reader is then at its end."""
        if self._start < len(self._chunk):
            yield self._chunk[self._start :]
        self._chunk, self._start = b"", 0
        yield from self._chunks

    def expect_end(self) -> None:
        """Raise `ValueError` with the offset when bytes remain."""
        if any(self.rest()):
            raise ValueError(f"offset {self.offset}: unexpected bytes after the end of the state")

    def _gather(self, taken: bytes, size: int, what: str) -> bytes:
        """Append bytes of the next chunks up to `size`."""
        parts, missing = [taken], size - len(taken)
        while missing:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise ValueError(f"offset {self.offset}: expected {size} bytes of {what}, found {size - missing}")
            parts.append(chunk[:missing])
            self._chunk, self._start = chunk, len(parts[-1])
            missing -= len(parts[-1])
        return b"".join(parts)
