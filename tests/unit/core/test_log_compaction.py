"""RaftLog after compaction and snapshots, against a plain list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_pkg.core.log import RaftLog
from raft_pkg.core.types import Entry, EntryKind
from tests.support.core import log_of

terms = st.lists(st.integers(1, 6), min_size=1, max_size=30).map(sorted)


@given(terms, st.data())
def test_compacted_log_has_the_later_entries(terms, data):
    entries = log_of(*terms)
    base = data.draw(st.integers(0, len(terms)))
    log = RaftLog(entries)
    log.compact(base)
    assert (log.base_index, log.first_index, log.last_index) == (base, base + 1, len(terms))
    assert log.last_term == terms[-1]
    assert log.slice(base + 1, len(terms) + 1) == entries[base:]
    assert [log.term_at(index) for index in range(base, len(terms) + 1)] == [0, *terms][base:]
    assert [log.term_at(index) for index in range(-1, base)] == [None] * (base + 1)
    assert log.slice_bytes(base + 1, 10**6) == tuple(entries[base:])
    again = RaftLog(entries[base:], base_index=base, base_term=[0, *terms][base])
    assert again.slice(base + 1, len(terms) + 1) == entries[base:]


@given(terms, st.data())
def test_append_to_compacted_log(terms, data):
    log = RaftLog(log_of(*terms))
    log.compact(data.draw(st.integers(0, len(terms))))
    log.append(Entry(len(terms) + 1, 9, EntryKind.NOOP, b""))
    assert log.entry_at(len(terms) + 1).term == 9
    log.truncate_from(len(terms) + 1)
    assert log.last_index == len(terms)


@given(terms, st.data(), st.integers(1, 7))
def test_first_and_last_index_of_a_term_in_compacted_log(terms, data, term):
    log = RaftLog(log_of(*terms))
    base = data.draw(st.integers(0, len(terms)))
    log.compact(base)
    places = [index for index, found in enumerate(terms, start=1) if found == term and index > base]
    assert log.last_index_of_term(term) == (places[-1] if places else None)
    for index in places:
        assert log.first_index_of_term_at(index) == places[0]


@pytest.mark.parametrize("index", [1, 6])
def test_compaction_up_to_missing_entry_is_rejected(index):
    log = RaftLog(log_of(1, 1, 1, 1, 1))
    log.compact(2)
    with pytest.raises(ValueError, match=f"cannot compact entries 3 to 5 up to {index}"):
        log.compact(index)


@given(terms, st.integers(0, 50), st.integers(1, 9))
def test_reset_log_is_empty(terms, index, term):
    log = RaftLog(log_of(*terms))
    log.reset(index, term)
    assert (log.base_index, log.last_index, log.last_term, log.term_at(index)) == (index, index, term, term)
    assert log.slice(index + 1, index + 9) == []
    log.append(Entry(index + 1, term, EntryKind.NOOP, b""))
    assert log.first_index == log.last_index == index + 1


sizes = st.lists(st.integers(0, 20), min_size=1, max_size=20)


@given(sizes, st.data(), st.integers(0, 25), st.integers(0, 100))
def test_tail_is_limited_in_entries_and_bytes(sizes, data, entries_max, bytes_max):
    entries = [Entry(index, 1, EntryKind.COMMANDS, b"x" * size) for index, size in enumerate(sizes, start=1)]
    base = data.draw(st.integers(0, len(sizes)))
    log = RaftLog(entries[base:], base_index=base)
    index = data.draw(st.integers(base, len(sizes)))
    keep_after = log.tail_base(index, entries_max, bytes_max)
    kept = sizes[keep_after:index]
    assert base <= keep_after <= index
    assert len(kept) <= entries_max
    assert sum(kept) <= bytes_max
    if keep_after > base:  # one more entry would exceed a limit
        assert len(kept) == entries_max or sum(kept) + sizes[keep_after - 1] > bytes_max


def test_no_tail_of_compacted_entries():
    assert RaftLog((), base_index=9, base_term=2).tail_base(5, 10, 10) == 5
