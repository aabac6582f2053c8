"""Reading fields of a byte stream that arrives in chunks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_pkg.chunks import ChunkReader


@given(st.lists(st.binary(max_size=5)), st.lists(st.integers(0, 12)))
def test_chunk_boundaries_do_not_matter(chunks, sizes):
    whole = b"".join(chunks)
    reader = ChunkReader(chunks)
    start = 0
    for size in sizes:
        if start + size > len(whole):
            with pytest.raises(
                ValueError, match=f"offset {start}: expected {size} bytes of it, found {len(whole) - start}"
            ):
                reader.take(size, "it")
            return
        assert reader.take(size, "it") == whole[start : start + size]
        start += size
    assert reader.offset == start
    assert b"".join(reader.rest()) == whole[start:]
    reader.expect_end()


def test_bytes_after_the_end_are_rejected_with_their_offset():
    reader = ChunkReader([b"ab", b"", b"c"])
    reader.take(2, "it")
    with pytest.raises(ValueError, match="offset 2: unexpected bytes after the end"):
        reader.expect_end()


def test_a_length_beyond_the_end_allocates_nothing():
    """Damage can make a length huge."""
    with pytest.raises(ValueError, match="found 3"):
        ChunkReader([b"abc"]).take(2**40, "it")
