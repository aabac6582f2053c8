"""Reading a row of bytes that comes in chunks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_pkg.chunks import ChunkReader


@given(st.lists(st.binary(max_size=5)), st.lists(st.integers(0, 12)))
def test_chunks_do_not_matter(chunks, sizes):
    whole = b"".join(chunks)
    reader = ChunkReader(chunks)
    start = 0
    for size in sizes:
        if start + size > len(whole):
            with pytest.raises(ValueError, match=f"offset {start}: {size} bytes of it, and only {len(whole) - start}"):
                reader.take(size, "it")
            return
        assert reader.take(size, "it") == whole[start : start + size]
        start += size
    assert reader.offset == start
    assert b"".join(reader.rest()) == whole[start:]
    reader.expect_end()


def test_what_follows_the_end_is_named():
    reader = ChunkReader([b"ab", b"", b"c"])
    reader.take(2, "it")
    with pytest.raises(ValueError, match="offset 2: the state ends here"):
        reader.expect_end()


def test_no_more_is_held_than_there_is():
    """A length that damage made huge costs nothing."""
    with pytest.raises(ValueError, match="only 3 are there"):
        ChunkReader([b"abc"]).take(2**40, "it")
