"""RaftLog against a plain list, for logs whose terms never decrease."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_pkg.core.log import RaftLog
from raft_pkg.core.types import Entry, EntryKind
from tests.support.core import log_of

terms = st.lists(st.integers(1, 6), max_size=30).map(sorted)


def test_empty_log_has_base_index_0_and_term_0():
    log = RaftLog()
    assert (log.first_index, log.last_index, log.last_term) == (1, 0, 0)
    assert [log.term_at(index) for index in (0, 1)] == [0, None]
    assert log.slice_bytes(1, 10) == ()


@given(terms)
def test_term_at_index(terms):
    log = RaftLog(log_of(*terms))
    assert log.last_index == len(terms)
    assert log.last_term == (terms[-1] if terms else 0)
    assert [log.term_at(index) for index in range(1, len(terms) + 1)] == terms
    assert log.term_at(len(terms) + 1) is None


@given(terms, st.integers(1, 7))
def test_first_and_last_index_of_a_term(terms, term):
    """§5.3, the fast back-up."""
    log = RaftLog(log_of(*terms))
    places = [index for index, found in enumerate(terms, start=1) if found == term]
    assert log.last_index_of_term(term) == (places[-1] if places else None)
    for index in places:
        assert log.first_index_of_term_at(index) == places[0]


@given(terms, terms)
def test_up_to_date_compares_last_term_then_index(own, others):
    """§5.4.1."""
    own_last, others_last = own[-1] if own else 0, others[-1] if others else 0
    expected = others_last > own_last or (others_last == own_last and len(others) >= len(own))
    assert RaftLog(log_of(*own)).is_up_to_date(len(others), others_last) is expected


@given(terms.filter(bool), st.data())
def test_truncation_removes_all_later_entries(terms, data):
    log = RaftLog(log_of(*terms))
    index = data.draw(st.integers(1, len(terms)))
    log.truncate_from(index)
    assert log.slice(1, index) == log_of(*terms)[: index - 1]
    assert log.last_index == index - 1
    log.append(Entry(index, 9, EntryKind.NOOP, b""))
    assert log.last_term == 9


@given(st.lists(st.integers(0, 20), max_size=20), st.integers(1, 40), st.data())
def test_slice_is_limited_in_bytes(sizes, bytes_max, data):
    entries = [Entry(index, 1, EntryKind.COMMANDS, b"x" * size) for index, size in enumerate(sizes, start=1)]
    start = data.draw(st.integers(1, len(sizes) + 1))
    taken = RaftLog(entries).slice_bytes(start, bytes_max)
    assert list(taken) == entries[start - 1 : start - 1 + len(taken)]
    assert sum(len(entry.data) for entry in taken[:-1]) < bytes_max
    if start + len(taken) <= len(entries):
        assert sum(len(entry.data) for entry in taken) >= bytes_max


def test_gap_in_entries_is_rejected():
    first, second, third = log_of(1, 1, 1)
    with pytest.raises(ValueError, match="expected index 2 in the log, found 3"):
        RaftLog([first, third])
    log = RaftLog([first])
    with pytest.raises(ValueError, match="cannot append entry 3 after entry 1"):
        log.append(third)
    log.append(second)
    assert log.last_index == 2
